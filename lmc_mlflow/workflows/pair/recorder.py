"""Logs the training of a pair to its runs, epoch by epoch, and writes its progress."""

import time

from lmc_mlflow.predictions.scores import score_name
from lmc_mlflow.training.loop import EpochReport
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.lifecycle.progress import LearningCurves, TrainingProgress
from lmc_mlflow.workflows.pair.runs import PairRuns


class Recorder:
    """Logs a pair's training.

    Attributes:
        progress: of the training.
    """

    def __init__(self, runs: PairRuns, trainees: list[Trainee], every: int, epochs: int, resumed: bool) -> None:
        """Start before the first epoch, or after the last whole one of an interrupted training.

        Args:
            runs: of the pair.
            trainees: both sides; with `resumed` they are put where they were.
            every: epochs between two writes of the progress.
            epochs: of the whole training.
            resumed: whether the runs are an interrupted pair's.
        """
        self.progress = TrainingProgress(runs.pair, trainees, every, epochs)
        self._started = time.perf_counter()
        if resumed and runs.can_resume:
            self.progress.restore()
        self._trainees = trainees
        self._pair_curves = LearningCurves(runs.pair, resumed)
        self._curves = {side: LearningCurves(run, resumed) for side, run in runs.endpoints.items()}
        self._score = score_name(trainees[0].labels)
        self._trained_before = sum(t.train_seconds for t in trainees)
        self._logging_seconds = 0.0

    def on_epoch(self, epoch: int, reports: list[EpochReport]) -> None:
        """Log an epoch in one call a run, and write the progress when it is time."""
        started = time.perf_counter()
        for report in reports:
            self._curves[report.side].log(epoch, self._means([report]))
        self._pair_curves.log(epoch, self._means(reports))
        self.progress.add(epoch)
        self._logging_seconds += time.perf_counter() - started

    def shares(self) -> dict[str, float]:
        """Give the shares of this process's time that went into training, testing and logging these networks.

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

    def _means(self, reports: list[EpochReport]) -> dict[str, float]:
        return {
            "train/loss": sum(r.train.loss for r in reports) / len(reports),
            f"train/{self._score}": sum(r.train.score for r in reports) / len(reports),
            "test/loss": sum(r.test.loss for r in reports) / len(reports),
            f"test/{self._score}": sum(r.test.score for r in reports) / len(reports),
        }
