"""How does a training get into its runs as it goes, so that killing it at any moment loses next to nothing?"""

import time

from lmc_mlflow.predictions.scores import score_name
from lmc_mlflow.query.runs import metric_curve
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.training.loop import EpochReport
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.lifecycle.state_keeper import StateKeeper
from lmc_mlflow.workflows.pair.results import curve_keys
from lmc_mlflow.workflows.pair.runs import PairRuns


class Recorder:
    """Writes a training to its runs as it goes, and remembers the last whole epoch."""

    def __init__(self, runs: PairRuns, trainees: list[Trainee], every: int, epochs: int) -> None:
        self.epoch = 0
        self._runs = runs
        self._trainees = trainees
        self._keeper = StateKeeper(runs.pair, trainees, every, epochs)
        self._score = score_name(trainees[0].labels)
        self._wall_before = 0.0
        self._started = time.perf_counter()
        self._trained_before = 0.0
        self._logging_seconds = 0.0
        self._logged: dict[tuple[str, str], set[int]] = {}

    def restore(self) -> None:
        """Continue where the newest whole state was kept, and learn what has been logged beyond it."""
        state = self._keeper.restore()
        if state is not None:
            self.epoch = state.epoch
            self._wall_before = state.wall_seconds
            self._trained_before = sum(t.train_seconds for t in self._trainees)
        for run in (self._runs.pair, *self._runs.endpoints.values()):
            for key in curve_keys(self._score):
                self._logged[run.run_id, key] = set(metric_curve(run.client, run.run_id, key))

    def on_epoch(self, epoch: int, reports: list[EpochReport]) -> None:
        """Log an epoch in one call a run, and keep the state when it is time."""
        started = time.perf_counter()
        for report in reports:
            self._log(self._runs.endpoints[report.side], epoch, [report])
        self._log(self._runs.pair, epoch, reports)
        self.epoch = epoch
        self._keeper.remember(epoch, self.wall_seconds())
        self._logging_seconds += time.perf_counter() - started

    def shares(self) -> dict[str, float]:
        """Which parts of this process's time went into training, testing and logging these networks.

        Where pairs train together the rest is the others'.
        """
        elapsed = max(time.perf_counter() - self._started, 1e-9)
        trained = sum(t.train_seconds for t in self._trainees) - self._trained_before
        tested = sum(t.test_seconds for t in self._trainees)
        return {
            "cost/share_training": trained / elapsed,
            "cost/share_testing": tested / elapsed,
            "cost/share_logging": self._logging_seconds / elapsed,
        }

    def save(self) -> None:
        """Keep the last whole epoch's state, unless it is kept already."""
        self._keeper.save()

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
