"""Logs the training of a pair to its runs, epoch by epoch, and writes its progress."""

import logging
import time

from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.starting import kept_epochs
from lmc_mlflow.predictions.scores import score_name
from lmc_mlflow.query.runs import latest_metrics
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.training.loop import EpochReport
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.lifecycle.progress import LearningCurves, TrainingProgress
from lmc_mlflow.workflows.pair.budgets.budget import PairBudget, is_until
from lmc_mlflow.workflows.pair.runs import PairRuns
from lmc_mlflow.workflows.pair.starting.kept_epochs import KeptEpochs

logger = logging.getLogger(__name__)


class Recorder:
    """Logs a pair's training.

    Attributes:
        progress: of the training.
        trainees: both sides.
        budget: what they have trained, and how much is left.
        kept: the epochs that are kept.
        is_at_start: whether no epoch was trained before.
        run_id: of the pair.
        seed: of its initialization.
        stopped: why it is not trained to its end; empty: it is.
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
        self.budget = PairBudget(trainees, config.optimization, parting)
        self._is_until = is_until(config.optimization)
        self._started = time.perf_counter()
        if resumed and runs.can_resume:
            tensors = self.progress.restore(accept=self._has_kept)
            if tensors:
                self.budget.restore(tensors)
        self.is_at_start = self.progress.epoch == parting
        self.trainees = trainees
        self.run_id, self.seed, self.stopped = runs.pair.run_id, config.model.seed, ""
        self._endpoints = runs.endpoints
        self._latest: dict[str, dict[str, float]] = {}
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

    def log_scores(self, reports: list[EpochReport], trained: bool = True) -> None:
        """Log the scores of sides after an epoch; with `trained` off, of both where they part."""
        for report in reports:
            scores = self._latest[report.side] = self._scores(report)
            moved = self.budget.measure(report.side, report.epoch) if trained else {}
            self._curves[report.side].log(report.epoch, scores | moved)
        a, b = (self._last_scores(trainee.side) for trainee in self.trainees)
        self._pair_curves.log(reports[0].epoch, {name: (a[name] + b[name]) / 2 for name in a})

    def on_epoch(self, epoch: int, reports: list[EpochReport]) -> None:
        """Log an epoch in one call a run, keep its states and write the progress when it is time."""
        started = time.perf_counter()
        self.log_scores(reports)
        self.kept.on_epoch(epoch, self.trainees)
        self.progress.add(epoch, self.budget.state())
        if not self.unfinished():
            self.progress.save()
        self._logging_seconds += time.perf_counter() - started

    def stop(self, why: str) -> None:
        """Train the pair no further."""
        self.stopped = why

    def unfinished(self) -> list[Trainee]:
        """List the sides that are to be trained further."""
        if self.stopped:
            return []
        sides = self.budget.unfinished(self.progress.epoch)
        return [trainee for trainee in self.trainees if trainee.side in sides]

    def epochs_of(self, side: str) -> int:
        """Count the epochs in which a side was trained so far."""
        return self.budget.epochs_of(side, self.progress.epoch)

    def close_kept(self, pair: TrackedRun) -> None:
        """Tag the runs with the epochs that are kept, and with the last one where a budget has ended the training."""
        self.kept.close(pair, last=self.progress.epoch if self._is_until else None)

    def close(self) -> None:
        """Log how the training of each side ended."""
        for side, run in self._endpoints.items():
            metrics, tags = self.budget.outcome(side, self.progress.epoch)
            run.log_once(metrics)
            run.set_tags(tags)

    def shares(self) -> dict[str, float]:
        """Give the shares of this process's time that went into training, testing and logging these networks.

        Where pairs train together the rest is the others'.
        """
        elapsed = max(time.perf_counter() - self._started, 1e-9)
        trained = sum(t.train_seconds for t in self.trainees) - self._trained_before
        tested = sum(t.test_seconds for t in self.trainees)
        return {
            "cost/share_training": trained / elapsed,
            "cost/share_testing": tested / elapsed,
            "cost/share_logging": self._logging_seconds / elapsed,
        }

    def _scores(self, report: EpochReport) -> dict[str, float]:
        return {
            f"{split}/{name}": value
            for split, scores in (("train", report.train), ("test", report.test))
            for name, value in (("loss", scores.loss), (self._score, scores.score))
        }

    def _last_scores(self, side: str) -> dict[str, float]:
        """Give the scores of a side's last epoch, which another process may have logged."""
        if side not in self._latest:
            run = self._endpoints[side]
            known = latest_metrics(run.client, run.run_id)
            names = [f"{split}/{name}" for split in ("train", "test") for name in ("loss", self._score)]
            self._latest[side] = {name: known[name] for name in names}
        return self._latest[side]
