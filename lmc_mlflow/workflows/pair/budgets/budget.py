"""Tells when the sides of a pair have trained enough: after epochs, steps, or at a training loss or accuracy."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.starting import kept_epochs
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.contract import Tag
from lmc_mlflow.data.loading import SIDES, ShiftedData
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.predictions.scores import Scores, score_name
from lmc_mlflow.training.budget import num_epochs
from lmc_mlflow.training.displacement import Displacement
from lmc_mlflow.training.trainee import Trainee

EVALUATED = "train_evaluated"
"""Group of the scores of whole networks on their training images, which `train` has of networks in training."""
logger = logging.getLogger(__name__)


def with_epochs(config: TrainPairConfig, data: ShiftedData) -> TrainPairConfig:
    """Set `epochs` to what `steps` are on these data: of the side that needs more.

    Raises:
        ValueError: other epochs were given too, or an accuracy for images with several labels.
    """
    optimization = config.optimization
    if optimization.until_train_accuracy is not None and data.test.labels.ndim == 2:
        raise ValueError(
            f"until_train_accuracy: images of {config.data.dataset} have several labels each; give until_train_loss"
        )
    if optimization.steps is None:
        return config
    before = config.starting.parting
    epochs = max(num_epochs(optimization, len(data.side(side)), before) for side in SIDES)
    if optimization.epochs not in (OptimizationConfig.epochs, epochs):
        raise ValueError(
            f"epochs={optimization.epochs}: steps={optimization.steps} are {epochs} epoch{'' if epochs == 1 else 's'} "
            f"of batch_size={optimization.batch_size} here{_said_before(before)}; leave epochs out"
        )
    kept_epochs(config.starting, epochs)
    return replace(config, optimization=replace(optimization, epochs=epochs))


def _said_before(before: int) -> str:
    return f", with the {before} before the sides part" if before else ""


class PairBudget:
    """What the sides of a pair have trained, and whether that is enough.

    With `until_train_loss` or `until_train_accuracy` both sides go on until both are there, or until `epochs`.
    """

    def __init__(self, trainees: Sequence[Trainee], config: OptimizationConfig, before: int = 0) -> None:
        """Start where the trainees are, before the first epoch that they train apart: `before` of them are over."""
        self._before = before
        self._trainees = {trainee.side: trainee for trainee in trainees}
        self._config = config
        self._ways = {trainee.side: Displacement(trainee.network) for trainee in trainees}
        self._reached: dict[str, int] = {}

    def unfinished(self, epoch: int) -> tuple[str, ...]:
        """List the sides that train on after an epoch."""
        if is_until(self._config) and len(self._reached) == len(self._trainees):
            return ()
        return tuple(side for side in self._trainees if epoch < self._last(side))

    def measure(self, side: str, epoch: int) -> dict[str, float]:
        """Measure a side after an epoch of its training: how far it has moved, and the scores that end it."""
        found = self._ways[side].advance()
        if not is_until(self._config):
            return found
        trainee = self._trainees[side]
        scores = evaluate(trainee.network, trainee.images, trainee.labels)
        if side not in self._reached and epoch >= self._config.warmup_epochs and _is_enough(scores, self._config):
            self._reached[side] = epoch
        score = score_name(trainee.labels)
        return found | {f"{EVALUATED}/loss": scores.loss, f"{EVALUATED}/{score}": scores.score}

    def outcome(self, side: str, epoch: int) -> tuple[dict[str, float], dict[str, str]]:
        """Give metrics and tags of a side after its training, whose last epoch this was; none without such a budget."""
        if self._config.steps is not None:
            return {"epoch_reached": self._last(side)}, {}
        if not is_until(self._config):
            return {}, {}
        if side in self._reached:
            return {"epoch_reached": self._reached[side]}, {Tag.BUDGET_REACHED: "yes"}
        logger.warning(
            "side %s has not reached %s in %d epochs; give more epochs, or ask for less",
            side,
            _goal(self._config),
            epoch,
        )
        return {}, {Tag.BUDGET_REACHED: "no"}

    def epochs_of(self, side: str, epoch: int) -> int:
        """Count the epochs that a side was trained in, when the pair was trained up to this one."""
        return min(epoch, self._last(side))

    def state(self) -> dict[str, Tensor]:
        """Return what must be kept to continue after the last whole epoch."""
        kept = {f"budget/{side}/reached": torch.tensor(epoch) for side, epoch in self._reached.items()}
        lengths = {f"budget/{side}/length": way.length for side, way in self._ways.items()}
        return kept | {name: length.clone() for name, length in lengths.items() if length is not None}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from what `state` returned; the networks are where they were then."""
        for side, way in self._ways.items():
            way.restore(tensors.get(f"budget/{side}/length"))
            if (reached := tensors.get(f"budget/{side}/reached")) is not None:
                self._reached[side] = int(reached)

    def _last(self, side: str) -> int:
        return num_epochs(self._config, len(self._trainees[side].labels), self._before)


def is_until(config: OptimizationConfig) -> bool:
    """Tell whether a training ends at a loss or an accuracy."""
    return config.until_train_loss is not None or config.until_train_accuracy is not None


def _is_enough(scores: Scores, config: OptimizationConfig) -> bool:
    if config.until_train_loss is not None:
        return scores.loss <= config.until_train_loss
    assert config.until_train_accuracy is not None
    return scores.score >= config.until_train_accuracy


def _goal(config: OptimizationConfig) -> str:
    if config.until_train_loss is not None:
        return f"until_train_loss={config.until_train_loss:g}"
    return f"until_train_accuracy={config.until_train_accuracy:g}"
