"""How is a pair trained from beginning to end, so that killing it at any moment loses next to nothing?"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.data.loading import ShiftedData, load_shifted
from lmc_mlflow.predictions.scores import score_name
from lmc_mlflow.query.networks import endpoints_of_pair
from lmc_mlflow.query.resume import newest_state
from lmc_mlflow.query.runs import metric_curve
from lmc_mlflow.tracking.artifacts import TrackedRun
from lmc_mlflow.tracking.process import Terminated
from lmc_mlflow.tracking.resume import NUM_SLOTS, keep_state
from lmc_mlflow.tracking.runs import ending, point_launcher_at
from lmc_mlflow.tracking.store import open_store
from lmc_mlflow.training import state as training_state
from lmc_mlflow.training.loop import EpochReport, Trainee, train
from lmc_mlflow.training.state import TrainingState
from lmc_mlflow.workflows.machine import prepare_machine
from lmc_mlflow.workflows.pair_results import curve_keys, log_endpoints, log_pair
from lmc_mlflow.workflows.pair_runs import PairRuns, look_before, open_pair
from lmc_mlflow.workflows.pair_setup import make_trainees
from lmc_mlflow.workflows.shift_test import log_shift


@dataclass(frozen=True)
class PairOutcome:
    """The runs of a pair, and how they came about: `trained`, `resumed` or `finished before`."""

    pair: str
    endpoints: dict[str, str]
    how: str
    experiment_id: str


def train_pair(config: TrainPairConfig, parent: TrackedRun | None = None) -> PairOutcome:
    """Train both sides of a shift and log everything; or resume, or point at the finished pair.

    Everything that can be wrong with the machine, the tracking store, the data and the network is
    found before a run is opened.

    Args:
        config: what to train.
        parent: run to hang the pair under (the chain, a sweep).

    Raises:
        ValueError: something a user can put right; says how.
        StoreError: the tracking store cannot be used.
        FloatingPointError: a loss is no number any more.
    """
    device = prepare_machine(config.runtime)
    store = open_store()
    data = load_shifted(config.data, device)
    trainees = make_trainees(config, data, device)
    before = look_before(store, config, data)
    if before.finished is not None and not config.resume.force:
        run_id = before.finished.info.run_id
        point_launcher_at(store, run_id, "this configuration was finished before")
        a, b = endpoints_of_pair(store.client, run_id)
        return PairOutcome(run_id, {"A": a, "B": b}, "finished before", store.experiment_id)
    interrupted = None if config.resume.force else before.interrupted
    with ending() as keep:
        runs = open_pair(store, config, data, interrupted, parent, keep)
        log_shift(runs.pair, config, data)
        recorder = Recorder(runs, trainees, config.resume.checkpoint_every, config.optimization.epochs)
        if interrupted is not None:
            recorder.restore()
        _train_recorded(config, data, trainees, recorder)
        log_endpoints(runs, config, data, trainees)
        log_pair(runs, config, data, trainees, recorder.wall_seconds())
    how = "trained" if interrupted is None else "resumed"
    return PairOutcome(
        runs.pair.run_id, {side: run.run_id for side, run in runs.endpoints.items()}, how, store.experiment_id
    )


def check_pair(config: TrainPairConfig) -> None:
    """Find out, without opening a run, whether the machine, the data and the network of a configuration are there.

    Raises:
        ValueError: something a user can put right; says how.
    """
    device = prepare_machine(config.runtime)
    make_trainees(config, load_shifted(config.data, device), device)


def _train_recorded(config: TrainPairConfig, data: ShiftedData, trainees: list[Trainee], recorder: "Recorder") -> None:
    test = (data.test.images, data.test.labels)
    try:
        train(trainees, test, config.optimization, data.flips, recorder.epoch + 1, recorder.on_epoch)
    except (KeyboardInterrupt, Terminated):
        recorder.save()
        raise


class Recorder:
    """Writes a training to its runs as it goes, and remembers the last whole epoch."""

    def __init__(self, runs: PairRuns, trainees: list[Trainee], every: int, epochs: int) -> None:
        self.epoch = 0
        self._runs = runs
        self._trainees = trainees
        self._every = every
        self._epochs = epochs
        self._score = score_name(trainees[0].labels)
        self._latest: TrainingState | None = None
        self._saved_epoch = 0
        self._slot = 0
        self._wall_before = 0.0
        self._started = time.perf_counter()
        self._logged: dict[tuple[str, str], set[int]] = {}

    def restore(self) -> None:
        """Continue where the newest whole state was kept, and learn what has been logged beyond it."""
        with tempfile.TemporaryDirectory() as folder:
            path = newest_state(self._runs.pair.client, self._runs.pair.run_id, Path(folder))
            if path is not None:
                state = training_state.load(path)
                training_state.restore(self._trainees, state)
                self.epoch = self._saved_epoch = state.epoch
                self._wall_before = state.wall_seconds
                self._slot = (int(path.stem.removeprefix("slot_")) + 1) % NUM_SLOTS
        for run in (self._runs.pair, *self._runs.endpoints.values()):
            for key in curve_keys(self._score):
                self._logged[run.run_id, key] = set(metric_curve(run.client, run.run_id, key))

    def on_epoch(self, epoch: int, reports: list[EpochReport]) -> None:
        """Log an epoch in one call a run, and keep the state when it is time."""
        for report in reports:
            self._log(self._runs.endpoints[report.side], epoch, [report])
        self._log(self._runs.pair, epoch, reports)
        self.epoch = epoch
        self._latest = training_state.capture(self._trainees, epoch, self.wall_seconds())
        if epoch % self._every == 0 or epoch == self._epochs:
            self.save()

    def save(self) -> None:
        """Keep the last whole epoch's state, unless it is kept already."""
        if self._latest is None or self._latest.epoch == self._saved_epoch:
            return
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / "state"
            training_state.save(self._latest, local)
            keep_state(self._runs.pair, local, self._latest.epoch, self._slot)
        self._slot = (self._slot + 1) % NUM_SLOTS
        self._saved_epoch = self._latest.epoch

    def wall_seconds(self) -> float:
        """Time spent on this pair by all processes that worked on it."""
        return self._wall_before + time.perf_counter() - self._started

    def _log(self, run: TrackedRun, epoch: int, reports: list[EpochReport]) -> None:
        """Means over the reports; points that a killed process logged already are not logged twice."""
        metrics = {
            "train/loss": sum(r.train.loss for r in reports) / len(reports),
            f"train/{self._score}": sum(r.train.score for r in reports) / len(reports),
            "test/loss": sum(r.test.loss for r in reports) / len(reports),
            f"test/{self._score}": sum(r.test.score for r in reports) / len(reports),
        }
        missing = {key: value for key, value in metrics.items() if epoch not in self._logged.get((run.run_id, key), ())}
        if missing:
            run.log_metrics(missing, step=epoch)
