"""Measures whether the variance of hidden units collapses in the middle of a path."""

import math
from collections.abc import Mapping

from torch import nn

from lmc_mlflow.batches import evenly_spaced
from lmc_mlflow.normalization.units import pool_moments, record_moments, unit_layers
from lmc_mlflow.paths.measures import Splits

ALPHAS = (0.0, 0.5, 1.0)
"""The points that are compared."""
MOST_IMAGES = 1000
Deviations = Mapping[float, Mapping[str, float]]
"""Alpha -> layer -> mean standard deviation of its units."""


class VarianceRatio:
    """Standard deviation of hidden units in the middle over that at both ends, recorded while a path is measured.

    Attributes:
        deviations: what was recorded.
    """

    def __init__(self, splits: Splits) -> None:
        """Start with nothing.

        Args:
            splits: name -> images and labels; up to `MOST_IMAGES` images of the first are used.
        """
        self._images = next((evenly_spaced(images, MOST_IMAGES) for images, _ in splits.values()), None)
        self._layers: tuple[str, ...] | None = None
        self.deviations: dict[float, dict[str, float]] = {}

    def record(self, network: nn.Module, alpha: float) -> None:
        """Measure a network in evaluation mode if alpha is one of `ALPHAS`; nothing of it is changed."""
        if alpha not in ALPHAS or self._images is None:
            return
        if self._layers is None:
            self._layers = unit_layers(network, self._images[:2])
        batches = record_moments(network, self._layers, [self._images])
        self.deviations[alpha] = {name: float(pool_moments(batches, name).var.sqrt().mean()) for name in self._layers}


def ratio_by_layer(deviations: Deviations) -> dict[str, float]:
    """Compute the ratio of each layer: mean deviation of its units; empty unless all three points were recorded."""
    if set(deviations) != set(ALPHAS):
        return {}
    a, middle, b = (deviations[alpha] for alpha in ALPHAS)
    return {name: middle[name] / ((a[name] + b[name]) / 2) if a[name] + b[name] > 0 else math.nan for name in middle}


def ratio_of_last_layer(deviations: Deviations) -> float | None:
    """Return the ratio of the last hidden layer; None without one."""
    return next(reversed(ratio_by_layer(deviations).values()), None)
