"""Logs the training of a star to its run, epoch by epoch, and writes its progress."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lmc_mlflow.config.commands import StarConfig
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.predictions.scores import Scores, score_name
from lmc_mlflow.star_domains.alignment import Permutations, Sources
from lmc_mlflow.star_domains.measures import SPLIT
from lmc_mlflow.star_domains.segments import SegmentNetwork
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.lifecycle.progress import LearningCurves, TrainingProgress
from lmc_mlflow.workflows.star.results import StarTraining

PERMUTATION = "permutation"
BARRIER = "barrier_to_source"


class StarRecorder:
    """Logs a star's training.

    Attributes:
        progress: of the training.
    """

    def __init__(self, run: TrackedRun, training: StarTraining, config: StarConfig, resumed: bool) -> None:
        """Start before the first epoch, or after the last whole one of an interrupted training.

        Args:
            run: of the star.
            training: with `resumed` its star and its sources are put where they were.
            config: of the command.
            resumed: whether the run is an interrupted star's.
        """
        epochs = training.optimization.epochs
        self.progress = TrainingProgress(run, [training.trainee], config.resume.checkpoint_every, epochs)
        if resumed:
            tensors = self.progress.restore()
            if tensors:
                training.sources.put(_permutations(tensors, training.sources))
        self._training = training
        self._curves = LearningCurves(run, resumed)
        self._evaluate_every = config.segments.evaluate_every
        self._epochs = epochs
        self._score = score_name(training.trainee.labels)

    def on_epoch(self, epoch: int, scores: Scores) -> None:
        """Measure and log an epoch in one call, and write the progress when it is time."""
        star, bench = self._star_state(), self._training.bench
        network = bench.network_of(star)
        tested = evaluate(network, bench.images, bench.labels)
        metrics = {
            "train/loss": scores.loss,
            f"train/{self._score}": scores.score,
            f"star/{SPLIT}/loss": tested.loss,
            f"star/{SPLIT}/{self._score}": tested.score,
        }
        if epoch % self._evaluate_every == 0 or epoch == self._epochs:
            metrics |= self._barriers(network.state_dict())
        self._curves.log(epoch, metrics)
        further = {
            f"{PERMUTATION}/{i}/{group}": order.clone()
            for i, permutations in enumerate(self._training.sources.permutations)
            for group, order in permutations.items()
        }
        self.progress.add(epoch, further)

    def _star_state(self) -> dict[str, Tensor]:
        network = self._training.trainee.network
        assert isinstance(network, SegmentNetwork)
        return {name: value.detach().clone() for name, value in network.star.state_dict().items()}

    def _barriers(self, star: dict[str, Tensor]) -> dict[str, float]:
        """Measure the barriers over the chord to every source as it is aligned now; their mean and maximum."""
        paths = [self._training.bench.path(star, state) for state in self._training.sources.states]
        barriers = [path.summaries[SPLIT].barrier_over_chord for path in paths]
        found = {f"{BARRIER}/{i}": value for i, value in enumerate(barriers)}
        return found | {f"{BARRIER}/mean": sum(barriers) / len(barriers), f"{BARRIER}/max": max(barriers)}


def _permutations(tensors: Mapping[str, Tensor], sources: Sources) -> list[Permutations]:
    found: list[Permutations] = [{} for _ in sources.logged]
    for name, order in tensors.items():
        if name.startswith(f"{PERMUTATION}/"):
            _, i, group = name.split("/", 2)
            found[int(i)][group] = order.to(torch.int64)
    return found
