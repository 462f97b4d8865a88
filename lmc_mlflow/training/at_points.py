"""Trains networks at points of segments and curves that move with them: each step sees one point."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from torch import Tensor, nn
from tqdm import tqdm

from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.precision import products
from lmc_mlflow.predictions.scores import Scores
from lmc_mlflow.training.engines.exact import train_epoch
from lmc_mlflow.training.trainee import Trainee

P = TypeVar("P")


class PointNetwork(nn.Module, ABC, Generic[P]):
    """A module that is trained at points: what an optimizer and a state dict see of it is what bends the points.

    In training mode each forward pass takes the next point. Batch norm there normalizes by the batch, and no running
    statistics are kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self._points: Iterator[P] = iter(())

    def set_points(self, points: Iterable[P]) -> None:
        """Set the points of the coming steps."""
        self._points = iter(points)

    def next_point(self) -> P:
        """Take the point of this step."""
        return next(self._points)

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Compute (N, C, H, W) -> (N, K): of the next point in training mode."""


def train_at_points(
    trainee: Trainee,
    optimization: OptimizationConfig,
    flips: bool,
    first_epoch: int,
    points: Callable[[int, int], Iterable[P]],
) -> Iterator[tuple[int, Scores]]:
    """Train from `first_epoch` to the last, and yield each epoch's number and its means over the points.

    Args:
        trainee: its network is a `PointNetwork`, its side the name of the training; changed in place.
        optimization: optimizer, schedule, epochs.
        flips: whether images are flipped at random.
        first_epoch: counted from 1.
        points: gives the points of an epoch from its number and the number of its steps.

    Raises:
        FloatingPointError: the loss is not a finite number any more.
    """
    network = trainee.network
    assert isinstance(network, PointNetwork)
    num_steps = math.ceil(len(trainee.labels) / optimization.batch_size)
    epochs, name = range(first_epoch, optimization.epochs + 1), trainee.side
    bar = tqdm(epochs, initial=first_epoch - 1, total=optimization.epochs, desc=name, unit="epoch", disable=None)
    for epoch in bar:
        started = time.perf_counter()
        network.set_points(points(epoch, num_steps))
        with products(optimization.precision):
            scores = train_epoch(trainee, optimization, flips, epoch)
        trainee.train_seconds += time.perf_counter() - started
        if not math.isfinite(scores.loss):
            raise FloatingPointError(
                f"{name}: the loss is {scores.loss} in epoch {epoch}; lower lr={optimization.lr} or warm up"
            )
        yield epoch, scores
        bar.set_postfix(loss=f"{scores.loss:.4f}")
