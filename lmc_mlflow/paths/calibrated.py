"""Measures the barrier that is left where every network of a path has its best softmax temperature.

What temperature takes away of a barrier is overconfidence: the networks between the ends are too sure, or not sure
enough, and choose no other classes for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from lmc_mlflow.paths.barriers import Values, barrier, barrier_in_basin, barrier_over_chord
from lmc_mlflow.predictions.temperature import Calibrated, best_temperature

CALIBRATED = ("calibrated_loss", "temperature")
"""Columns of a path's table."""


@dataclass(frozen=True)
class CalibratedPath:
    """The losses of a path at the best temperature of every alpha.

    Attributes:
        alphas: (T,) from 0 to 1.
        temperatures: (T,) the best softmax temperature of the network at alpha.
        losses: (T,) at these temperatures, nats per sample; never above those of the path.
    """

    alphas: Values
    temperatures: Values
    losses: Values

    @property
    def barrier(self) -> float:
        """The highest calibrated loss minus the mean of both ends."""
        return barrier(self.losses)

    @property
    def barrier_over_chord(self) -> float:
        """The largest height of the calibrated loss over the straight line between the ends."""
        return barrier_over_chord(self.alphas, self.losses)

    @property
    def barrier_in_basin(self) -> float:
        """The calibrated barrier between two minima."""
        return barrier_in_basin(self.losses).height


def calibrated_barrier(alphas: Values, outputs: Sequence[Tensor], labels: Tensor) -> CalibratedPath:
    """Find the best temperature at every alpha, and the losses and barriers that are left.

    Args:
        alphas: (T,) from 0 to 1.
        outputs: T tensors (N, K), log-probabilities or logits of one label an image.
        labels: (N,) classes.
    """
    return calibrated_path(alphas, [best_temperature(own, labels) for own in outputs])


def calibrated_path(alphas: Values, points: Sequence[Calibrated]) -> CalibratedPath:
    """Join the best temperatures of T points."""
    temperatures, losses = (np.array([getattr(point, name) for point in points]) for name in ("temperature", "loss"))
    return CalibratedPath(np.asarray(alphas, dtype=np.float64), temperatures, losses)
