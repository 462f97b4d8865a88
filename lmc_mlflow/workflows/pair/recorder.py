"""Logs the training of a pair to its runs, epoch by epoch, and writes its progress."""

import logging
import time

from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.starting import kept_epochs
from lmc_mlflow.predictions.scores import score_name
from lmc_mlflow.training.loop import EpochReport
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.lifecycle.progress import LearningCurves, TrainingProgress
from lmc_mlflow.workflows.pair.kept_epochs import KeptEpochs
from lmc_mlflow.workflows.pair.runs import PairRuns

logger = logging.getLogger(__name__)


class Recorder:
    """Logs a pair's training.

    Attributes:
        progress: of the training.
        kept: the epochs that are kept.
        is_at_start: whether no epoch was trained before.
    """

    def __init__(self, runs: PairRuns, trainees: list[Trainee], config: TrainPairConfig, resumed: bool) -> None:
        """Start where the sides part, or after the last whole epoch of an interrupted training.

        Args:
            runs: of the pair.
            trainees: both sides, where they part; with `resumed` they are put where they were.
            config: of the pair.
            resumed: whether the runs are an interrupted pair's.
        """
        every, epochs = config.resume.checkpoint_every, config.optimization.epochs
        parting = config.starting.parting
        self.progress = TrainingProgress(runs.pair, trainees, every, epochs, parting)
        self.kept = KeptEpochs(runs.endpoints, kept_epochs(config.starting, epochs), config.optimization)
        self._started = time.perf_counter()
        if resumed and runs.can_resume:
            self.progress.restore(accept=self._has_kept)
        self.is_at_start = self.progress.epoch == parting
        self._trainees = trainees
        self._pair_curves = LearningCurves(runs.pair, resumed)
        self._curves = {side: LearningCurves(run, resumed) for side, run in runs.endpoints.items()}
        self._score = score_name(trainees[0].labels)
        self._trained_before = sum(t.train_seconds for t in trainees)
        self._logging_seconds = 0.0

    def _has_kept(self, epoch: int) -> bool:
        if self.kept.has_all_up_to(epoch):
            return True
        logger.warning(
            "the interrupted training has not kept every epoch that keep_epochs asks for; its epochs up to %d are "
            "trained again",
            epoch,
        )
        return False

    def log_scores(self, reports: list[EpochReport]) -> None:
        """Log the scores of both sides after one epoch, or where they part."""
        for report in reports:
            self._curves[report.side].log(report.epoch, self._means([report]))
        self._pair_curves.log(reports[0].epoch, self._means(reports))

    def on_epoch(self, epoch: int, reports: list[EpochReport]) -> None:
        """Log an epoch in one call a run, keep its states and write the progress when it is time."""
        started = time.perf_counter()
        self.log_scores(reports)
        self.kept.on_epoch(epoch, self._trainees)
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
