"""Finds the states of epochs that runs have kept, and deletes them."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from lmc_mlflow.contract import FINISHED, KINDS, Artifact, Tag
from lmc_mlflow.manifest import read_manifest, render_manifest
from lmc_mlflow.query.kept_states import kept_sizes
from lmc_mlflow.query.runs import Run, search
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.tracking.downloads import download
from lmc_mlflow.tracking.run import TrackedRun


@dataclass(frozen=True)
class KeptStates:
    """The states that a run has kept: their epochs, and the bytes of all of them."""

    run: Run
    epochs: tuple[int, ...]
    num_bytes: int


def find_kept_states(store: Store) -> list[KeptStates]:
    """Find the finished runs that have kept states of epochs, and the pairs whose sides have, in all experiments."""
    runs = search(store.client, f"{FINISHED} and tags.`{Tag.KEPT_EPOCHS}` != ''")
    found = []
    for run in runs:
        if run.data.tags.get(Tag.KIND) in KINDS:
            sizes = kept_sizes(store.client, run.info.run_id)
            found.append(KeptStates(run, tuple(sizes), sum(sizes.values())))
    return found


def prune_epochs(store: Store, kept: KeptStates) -> None:
    """Delete the states that a run has kept; its manifest and its tag name them no more.

    Raises:
        MlflowException: the server does not allow it; OSError: the same of a file system.
        ValueError: the run's manifest is damaged.
    """
    run = TrackedRun(store.client, kept.run.info.run_id, kept.run.info.experiment_id)
    if kept.epochs:
        with tempfile.TemporaryDirectory() as folder:
            listed = read_manifest(download(store.client, run.run_id, Artifact.MANIFEST, Path(folder)))
        others = {path: digest for path, digest in listed.items() if Path(path).parts[0] != Artifact.KEPT_FOLDER}
        run.log_text(render_manifest(others), Artifact.MANIFEST)
        run.delete_artifacts(Artifact.KEPT_FOLDER)
    run.set_tags({Tag.KEPT_EPOCHS: ""})
