"""Reads the newest whole state that an interrupted run has written to its slots."""

from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from lmc_mlflow.contract import Artifact
from lmc_mlflow.manifest import sha256_of
from lmc_mlflow.schema import Count, Digest, read_json
from lmc_mlflow.tracking.downloads import download
from lmc_mlflow.tracking.resume import NUM_SLOTS, slot_names


@dataclass(frozen=True)
class _Note:
    epoch: Count
    sha256: Digest


def newest_state(client: MlflowClient, run_id: str, folder: Path) -> Path | None:
    """Download the states that a run has written, and give the newest whole one; None if there is none.

    A state counts if its note is there and names its sha256; see `tracking.resume`.

    Args:
        client: of the server.
        run_id: of the run.
        folder: where the states are downloaded to.
    """
    try:
        local = download(client, run_id, Artifact.RESUME_FOLDER, folder)
    except (MlflowException, OSError):
        return None
    whole: dict[int, Path] = {}
    for slot in range(NUM_SLOTS):
        note, state = (local / name for name in slot_names(slot))
        try:
            content = read_json(_Note, note.read_bytes())
            if state.is_file() and sha256_of(state) == content.sha256:
                whole[content.epoch] = state
        except (OSError, ValueError):  # a slot never written, or cut short
            continue
    return whole[max(whole)] if whole else None
