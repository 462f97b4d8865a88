"""Keeps the states of chosen epochs of a training with its runs, and says beforehand how much room they take."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.starting import kept_epochs, missing_epochs
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.contract import Tag
from lmc_mlflow.query.kept_states import kept_path
from lmc_mlflow.query.runs import Run
from lmc_mlflow.tracking.artifact_folders import local_folder
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.training.kept_state import capture_kept, num_bytes
from lmc_mlflow.training.trainee import Trainee

MIB, GIB = 2**20, 2**30


class KeptEpochs:
    """Logs the states of some epochs of some networks, each with the run of its network."""

    def __init__(self, runs: Mapping[str, TrackedRun], epochs: Sequence[int], config: OptimizationConfig) -> None:
        """Log nothing yet.

        Args:
            runs: side -> run.
            epochs: that are kept, in order.
            config: of the training.
        """
        self._runs = runs
        self._epochs = tuple(epochs)
        self._optimizer = config.optimizer

    def on_epoch(self, epoch: int, trainees: Sequence[Trainee]) -> None:
        """Log the state after an epoch, if it is one that is kept; call it before the progress is written."""
        if epoch in self._epochs:
            for trainee in trainees:
                state = capture_kept(trainee, epoch, self._optimizer)
                self._runs[trainee.side].log_tensors(state.tensors(), kept_path(epoch), state.header())

    def has_all_up_to(self, epoch: int) -> bool:
        """Find what an earlier process has kept up to an epoch, for the manifests; tell whether nothing lacks."""
        early = [kept_path(one) for one in self._epochs if one <= epoch]
        return all(run.remember_file(path) for run in self._runs.values() for path in early)

    def close(self, *others: TrackedRun, last: int | None = None) -> None:
        """Tag the runs with the epochs that they keep.

        Args:
            others: runs that stand for them.
            last: the last epoch, where a loss or an accuracy has ended the training; it is a tag too.
        """
        kept = [epoch for epoch in self._epochs if last is None or epoch <= last]
        tags = {} if last is None else {Tag.LAST_EPOCH: str(last)}
        tags |= {Tag.KEPT_EPOCHS: ",".join(map(str, kept))} if kept else {}
        for run in (*self._runs.values(), *others):
            run.set_tags(tags)


def refuse_unkept(finished: Run, wanted: Sequence[int], remedy: str = "force=true trains it again") -> None:
    """Refuse a training that was finished before without an epoch that is to be kept.

    Args:
        finished: its run.
        wanted: epochs.
        remedy: what to do.

    Raises:
        ValueError: saying which epochs it keeps, and what to do.
    """
    kept, tags = finished.data.tags.get(Tag.KEPT_EPOCHS, ""), finished.data.tags
    missing = missing_epochs(wanted, kept, tags.get(Tag.LAST_EPOCH, ""))
    if missing:
        raise ValueError(
            f"{tags.get(Tag.KIND)} {finished.info.run_id} was finished before and keeps "
            f"{f'epochs {kept}' if kept else 'no epochs'}; keep_epochs asks for {','.join(map(str, missing))} too: "
            f"{remedy}; without keep_epochs it is taken as it is"
        )


def needed_bytes(pairs: Sequence[tuple[TrainPairConfig, Sequence[Trainee]]]) -> int:
    """Count the bytes of all states that the trainings of some pairs are to keep."""
    total = 0
    for config, trainees in pairs:
        number = len(kept_epochs(config.starting, config.optimization.epochs))
        own = config.optimization
        total += number * sum(num_bytes(trainee, own.optimizer, own.momentum) for trainee in trainees)
    return total


def readable_bytes(number: float) -> str:
    """Write a number of bytes as MiB or GiB."""
    return f"{number / GIB:,.1f} GiB" if number >= GIB else f"{number / MIB:,.1f} MiB"


def check_room(store: Store, needed: int) -> str:
    """Check that the disk has room for what is to be kept, and say how much that is; empty where nothing is.

    The room behind a server is not known here, and not checked.

    Raises:
        ValueError: the disk has not enough.
    """
    if not needed:
        return ""
    folder = local_folder(store)
    said = f"kept epochs: the kept states take about {readable_bytes(needed)}"
    if folder is None:
        return said
    free = shutil.disk_usage(_existing(folder)).free
    if needed > free:
        raise ValueError(
            f"{said}, {folder} has {readable_bytes(free)} free; keep fewer epochs, or make room "
            "(repair prune_epochs=true deletes kept states)"
        )
    return f"{said} in {folder} ({readable_bytes(free)} free)"


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())
