"""Downloads artifacts of runs, without MLflow's own progress bar for every file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR


def download(client: MlflowClient, run_id: str, path: str, folder: Path) -> Path:
    """Download an artifact, a file or a folder, below a local folder.

    Args:
        client: of the server.
        run_id: the run.
        path: of the artifact.
        folder: an existing one.

    Returns:
        The local copy.

    Raises:
        MlflowException: there is no such artifact, or the server does not answer.
        OSError: the same, of artifacts on a file system.
    """
    with without_progress_bars():
        return Path(client.download_artifacts(run_id, path, str(folder)))


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Change the default of MLflow's setting within a block; a value in the environment still decides."""
    before = MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.default
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.default = False
    try:
        yield
    finally:
        MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.default = before
