"""Writes the progress of a piece of work with its run, and reads it back to resume that work."""

import dataclasses
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from torch import Tensor

from lmc_mlflow.contract import Artifact
from lmc_mlflow.errors import first_line
from lmc_mlflow.query.resume import newest_state
from lmc_mlflow.query.runs import metric_curve
from lmc_mlflow.tracking.connection.client import WRITE_FAILURES, without_waiting
from lmc_mlflow.tracking.processes.signals import STOPS, stop_begins
from lmc_mlflow.tracking.resume import NUM_SLOTS, write_state
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.training import state as training_state
from lmc_mlflow.training.state import TrainingState
from lmc_mlflow.training.trainee import Trainee

logger = logging.getLogger(__name__)
T = TypeVar("T")
Arrays = Mapping[str, NDArray[Any]]
SAVE_SECONDS = 60


class Savable(Protocol):
    """Progress that can be written."""

    def save(self) -> None:
        """Write it."""


@contextmanager
def save_when_stopped(*progress: Savable) -> Iterator[None]:
    """Save progress where a signal ends the block; another signal, after a while, ends the saving."""
    try:
        yield
    except STOPS:
        stop_begins()
        try:
            with without_waiting():
                for one in progress:
                    one.save()
        except WRITE_FAILURES as error:
            logger.warning("progress since the last save is lost: it could not be written (%s)", first_line(error))
        raise


class Progress:
    """Arrays that have been computed so far, written with their run at most once a minute."""

    def __init__(self, run: TrackedRun, every: float = SAVE_SECONDS) -> None:
        """Start with no arrays.

        Args:
            run: that they are written with.
            every: seconds between two writes.
        """
        self._slots = _Slots(run)
        self._every = every
        self._arrays: dict[str, NDArray[Any]] = {}
        self._is_saved = True
        self._saved_at = time.monotonic()

    def known(self) -> Arrays:
        """Read what an earlier process has written; it is written again with what is added."""
        self._arrays = self._slots.read(load_file) or {}
        return dict(self._arrays)

    def add(self, arrays: Arrays) -> None:
        """Add arrays, or replace those that are there by the same name, and write all when it is time."""
        self._arrays |= arrays
        self._is_saved = False
        if time.monotonic() - self._saved_at >= self._every:
            self.save()

    def save(self) -> None:
        """Write all arrays, unless they are written already."""
        if not self._is_saved:
            self._slots.write(partial(save_file, self._arrays), len(self._arrays))
            self._is_saved = True
            self._saved_at = time.monotonic()


class TrainingProgress:
    """The state of a training after whole epochs, written with its run.

    Attributes:
        epoch: the last whole one.
    """

    def __init__(self, run: TrackedRun, trainees: Sequence[Trainee], every: int, epochs: int, start: int = 0) -> None:
        """Start before the first epoch.

        Args:
            run: that states are written with.
            trainees: whose state it is.
            every: epochs between two writes; the last epoch is written too.
            epochs: the last epoch of the training.
            start: the epoch before its first.
        """
        self.epoch = start
        self._slots = _Slots(run)
        self._trainees = trainees
        self._every = every
        self._epochs = epochs
        self._latest: TrainingState | None = None
        self._saved_epoch = start
        self._wall_before = 0.0
        self._started = time.perf_counter()

    def restore(self, accept: Callable[[int], bool] = lambda _epoch: True) -> Mapping[str, Tensor]:
        """Put the trainees where the newest whole state has them, and give its tensors; none if there is no state.

        Args:
            accept: tells by the state's epoch whether the training may go on from there; if not, there is none.
        """
        state = self._slots.read(training_state.load)
        if state is None or not accept(state.epoch):
            return {}
        training_state.restore(self._trainees, state)
        self.epoch = self._saved_epoch = state.epoch
        self._wall_before = state.wall_seconds
        return state.tensors

    def add(self, epoch: int, further: Mapping[str, Tensor] | None = None) -> None:
        """Copy the state after a whole epoch, and write it when it is time.

        Args:
            epoch: the last whole one.
            further: what the next epoch depends on besides the trainees.
        """
        state = training_state.capture(self._trainees, epoch, self.wall_seconds())
        self._latest = dataclasses.replace(state, tensors={**state.tensors, **(further or {})})
        self.epoch = epoch
        if epoch % self._every == 0 or epoch == self._epochs:
            self.save()

    def save(self) -> None:
        """Write the state after the last whole epoch, unless it is written already."""
        if self._latest is not None and self._latest.epoch != self._saved_epoch:
            self._slots.write(partial(training_state.save, self._latest), self._latest.epoch)
            self._saved_epoch = self._latest.epoch

    def wall_seconds(self) -> float:
        """Add up the time that all processes have spent on this training."""
        return self._wall_before + time.perf_counter() - self._started


class LearningCurves:
    """Logs a training's curves; points that an interrupted process has logged are not logged twice."""

    def __init__(self, run: TrackedRun, resumed: bool) -> None:
        self._run = run
        self._resumed = resumed
        self._logged: dict[str, set[int]] = {}

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the points of an epoch in one call."""
        missing = {key: value for key, value in metrics.items() if epoch not in self._epochs(key)}
        if missing:
            self._run.log_metrics(missing, step=epoch)

    def _epochs(self, key: str) -> set[int]:
        """List the epochs that an earlier process has logged."""
        if self._resumed and key not in self._logged:
            self._logged[key] = set(metric_curve(self._run.client, self._run.run_id, key))
        return self._logged.get(key, set())


def delete_progress(run: TrackedRun) -> None:
    """Delete what a finished run was resumed from, where the store allows that."""
    try:
        run.delete_artifacts(Artifact.RESUME_FOLDER)
    except WRITE_FAILURES as error:
        logger.warning("run %s keeps its folder %s/ (%s)", run.run_id, Artifact.RESUME_FOLDER, first_line(error))


class _Slots:
    """Writes to the slot that does not hold the newest whole state: that one is there whatever stops the writing."""

    def __init__(self, run: TrackedRun) -> None:
        self._run = run
        self._slot = 0

    def read(self, load: Callable[[Path], T]) -> T | None:
        """Read the newest whole state by a function of its file; None if there is no state."""
        with tempfile.TemporaryDirectory() as folder:
            path = newest_state(self._run.client, self._run.run_id, Path(folder))
            if path is None:
                return None
            self._slot = (int(path.stem.removeprefix("slot_")) + 1) % NUM_SLOTS
            return load(path)

    def write(self, save: Callable[[Path], None], progress: int) -> None:
        """Write a state by a function of its file; of two whole states the one with more progress counts."""
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / "state"
            save(local)
            write_state(self._run, local, progress, self._slot)
        self._slot = (self._slot + 1) % NUM_SLOTS
