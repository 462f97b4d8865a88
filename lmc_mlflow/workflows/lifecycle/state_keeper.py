"""How does the state of a training outlive its process? Whole epochs of it are kept with its run."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial

from torch import Tensor

from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.training import state as training_state
from lmc_mlflow.training.state import TrainingState
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.lifecycle.progress import Slots


class StateKeeper:
    """Keeps whole epochs of a training with its run, and puts the trainees back there."""

    def __init__(self, run: TrackedRun, trainees: Sequence[Trainee], every: int, epochs: int) -> None:
        """Watch a training.

        Args:
            run: that the states are kept with.
            trainees: what is kept.
            every: epochs from one kept state to the next; the last is kept too.
            epochs: of the whole training.
        """
        self._slots = Slots(run)
        self._trainees = trainees
        self._every = every
        self._epochs = epochs
        self._latest: TrainingState | None = None
        self._saved_epoch = 0

    def restore(self) -> TrainingState | None:
        """Put the trainees where the newest whole state has them; None if there is no state."""
        state = self._slots.read(training_state.load)
        if state is not None:
            training_state.restore(self._trainees, state)
            self._saved_epoch = state.epoch
        return state

    def remember(self, epoch: int, wall_seconds: float, further: Mapping[str, Tensor] | None = None) -> None:
        """Copy the state after a whole epoch, and keep it when it is time.

        Args:
            epoch: the last whole one.
            wall_seconds: spent so far.
            further: what the next epoch depends on besides the trainees.
        """
        state = training_state.capture(self._trainees, epoch, wall_seconds)
        self._latest = dataclasses.replace(state, tensors={**state.tensors, **(further or {})})
        if epoch % self._every == 0 or epoch == self._epochs:
            self.save()

    def save(self) -> None:
        """Keep the last whole epoch's state, unless it is kept already."""
        if self._latest is None or self._latest.epoch == self._saved_epoch:
            return
        self._slots.write(partial(training_state.save, self._latest), self._latest.epoch)
        self._saved_epoch = self._latest.epoch
