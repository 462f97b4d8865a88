"""Downloads artifacts of a run, verified against its manifest."""

from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from lmc_mlflow.contract import Artifact, Tag
from lmc_mlflow.manifest import verify
from lmc_mlflow.tracking.downloads import download


def left_out(run: Run) -> list[str]:
    """List the artifacts of an imported run that its bundle left out and the store does not have."""
    return [path for path in run.data.tags.get(Tag.LEFT_OUT, "").split(",") if path]


def download_verified(client: MlflowClient, run: Run, paths: list[str], folder: Path) -> dict[str, Path]:
    """Download artifacts of a run and verify them against its manifest.

    Args:
        client: of the server.
        run: the run.
        paths: of the artifacts.
        folder: an existing one, for the local copies.

    Returns:
        Artifact path -> local copy.

    Raises:
        ValueError: an artifact is missing or altered.
    """
    label = f"run {run.info.run_id}"
    files: dict[str, Path] = {}
    for i, path in enumerate([Artifact.MANIFEST, *paths]):
        target = folder / str(i)
        target.mkdir()
        try:
            files[path] = download(client, run.info.run_id, path, target)
        except (MlflowException, OSError):
            kind = run.data.tags.get(Tag.KIND, "none of ours")
            if path in left_out(run):
                raise ValueError(
                    f"{label} (kind {kind}) was imported from a bundle that left out {path}: import one that has it, "
                    "or make the run again with the settings that it logged (train_pair: with force=true)"
                ) from None
            raise ValueError(
                f"{label} (kind {kind}) has no artifact {path}; endpoints have checkpoints, alignments and stars too, "
                f"pairs have splits; its place is {run.info.artifact_uri}: if that was moved, move or link it back"
            ) from None
    try:
        verify(files.pop(Artifact.MANIFEST), files)
    except ValueError as error:
        raise ValueError(f"{label}: {error}") from None
    return files
