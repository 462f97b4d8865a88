"""Opens the run of a curve, and trains its bends: once, whatever is measured on the curve, and resumable."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.errors import first_line
from lmc_mlflow.predictions.scores import score_name
from lmc_mlflow.query.bends import bend_artifact, load_bends
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.training.at_points import train_at_points
from lmc_mlflow.training.curve_bends import draw_positions
from lmc_mlflow.weights import State
from lmc_mlflow.workflows.lifecycle.progress import LearningCurves, TrainingProgress, save_when_stopped
from lmc_mlflow.workflows.lifecycle.run_once import RunSession, RunStart, WantedRun, run_session
from lmc_mlflow.workflows.path.curve.curve_training import TRAIN_SECONDS, CurveTraining

logger = logging.getLogger(__name__)
SAVE_EVERY = 10
"""Epochs between two writes of the state of a training of bends."""


@dataclass(frozen=True)
class TrainedCurve:
    """A run that is open, and the bends of its curve.

    Attributes:
        run: of the path.
        bends: trained, on the CPU.
        source: another run that had trained them before; empty: this one did.
    """

    run: TrackedRun
    bends: tuple[State, ...]
    source: str


@contextmanager
def curve_run(
    store: Store, start: RunStart, training: CurveTraining, parent: TrackedRun | None
) -> Iterator[TrainedCurve]:
    """Open the run of a curve and yield it with its trained bends; close it as the block ends.

    Bends that a finished run has trained in the same way are read from there; an interrupted run of the same command
    goes on from its last kept epoch, under its own id.

    Args:
        store: where the run is or goes.
        start: of the run.
        training: of the bends.
        parent: that a new run is nested under.

    Raises:
        AtWorkError: another process trains the same bends now.
        FloatingPointError: the loss is not a finite number any more.
    """
    with run_session(store) as session:
        wanted, found = _find(store, session, start, training)
        params = {**start.params, **training.params}
        run = wanted.open(replace(start, params=params), parent)
        bends = found or _train(run, training, resumed=wanted.interrupted is not None)
        for number, state in enumerate(bends, start=1):
            run.log_tensors(state, bend_artifact(number))
        source = wanted.finished.info.run_id if found and wanted.finished is not None else ""
        seconds = training.trainee.train_seconds
        if found and wanted.finished is not None:
            seconds = wanted.finished.data.metrics.get(TRAIN_SECONDS, 0.0)
        run.log_once({TRAIN_SECONDS: seconds})
        yield TrainedCurve(run, bends, source)


def _find(
    store: Store, session: RunSession, start: RunStart, training: CurveTraining
) -> tuple[WantedRun, tuple[State, ...]]:
    """Find bends that were trained before, or the interrupted run of the same command that was training them."""
    identity = {Tag.CURVE_DIGEST: training.digest}
    wanted = session.find(Kind.PATH, identity, alone=True)
    if wanted.interrupted is not None and not start.tags.items() <= wanted.interrupted.data.tags.items():
        wanted = replace(wanted, interrupted=None)
    if wanted.finished is None:
        return wanted, ()
    try:
        return wanted, load_bends(store.client, wanted.finished, training.like)
    except ValueError as error:
        logger.warning("the bends are trained again: %s", first_line(error))
        return session.find(Kind.PATH, identity, force=True, alone=True), ()


def _train(run: TrackedRun, training: CurveTraining, resumed: bool) -> tuple[State, ...]:
    trainee, num_epochs = training.trainee, training.num_epochs
    if not num_epochs:
        return training.bends()
    progress = TrainingProgress(run, [trainee], SAVE_EVERY, num_epochs)
    if resumed:
        progress.restore()
    curves, score = LearningCurves(run, resumed), score_name(trainee.labels)

    def positions(epoch: int, num_steps: int) -> list[float]:
        return draw_positions(training.seed, epoch, num_steps)

    with save_when_stopped(progress):
        for epoch, scores in train_at_points(
            trainee, training.optimization, training.flips, progress.epoch + 1, positions
        ):
            curves.log(epoch, {"curve/train_loss": scores.loss, f"curve/train_{score}": scores.score})
            progress.add(epoch)
    return training.bends()
