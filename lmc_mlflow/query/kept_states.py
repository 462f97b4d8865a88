"""Lists and loads the states that a run has kept of epochs of its training."""

import re
import tempfile
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from lmc_mlflow.contract import Artifact
from lmc_mlflow.query.verified_artifacts import download_verified
from lmc_mlflow.training.kept_state import KeptState, read_kept

_FILE = re.compile(r"epoch_(\d+)\.safetensors")


def kept_path(epoch: int) -> str:
    """Name the artifact that holds the state after an epoch."""
    return f"{Artifact.KEPT_FOLDER}/epoch_{epoch:05d}.safetensors"


def kept_sizes(client: MlflowClient, run_id: str) -> dict[int, int]:
    """List the epochs that a run has kept, in order, with their bytes; none if its artifacts are out of reach."""
    try:
        files = client.list_artifacts(run_id, Artifact.KEPT_FOLDER)
    except (MlflowException, OSError):
        return {}
    found = {int(match[1]): file.file_size or 0 for file in files if (match := _FILE.fullmatch(Path(file.path).name))}
    return dict(sorted(found.items()))


def load_kept(client: MlflowClient, run: Run, epoch: int) -> KeptState:
    """Load the state that a finished run has kept of an epoch, verified against its manifest.

    Raises:
        ValueError: it has not kept that epoch (lists those that it has), or the file was altered.
    """
    kept = kept_sizes(client, run.info.run_id)
    if epoch not in kept:
        there = ", ".join(map(str, kept)) or "none"
        raise ValueError(
            f"run {run.info.run_id} has not kept epoch {epoch} (kept: {there}); choose one of them, or train it again "
            f"with keep_epochs={epoch} force=true"
        )
    with tempfile.TemporaryDirectory() as folder:
        files = download_verified(client, run, [kept_path(epoch)], Path(folder))
        try:
            return read_kept(files[kept_path(epoch)])
        except ValueError as error:
            raise ValueError(f"run {run.info.run_id}, epoch {epoch}: {error}") from None
