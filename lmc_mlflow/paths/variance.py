"""Does the variance of hidden units collapse in the middle of a path?"""

import math

from torch import nn

from lmc_mlflow.batches import some_of
from lmc_mlflow.normalization.units import pool_moments, record_moments, unit_layers
from lmc_mlflow.paths.engines.one_pass import Splits

LOOKED_AT = (0.0, 0.5, 1.0)
MOST_IMAGES = 1000


class Deviations:
    """The standard deviations of hidden units at both ends and in the middle, noted as a path is walked."""

    def __init__(self, splits: Splits) -> None:
        self._images = next((some_of(images, MOST_IMAGES) for images, _ in splits.values()), None)
        self._layers: tuple[str, ...] | None = None
        self._found: dict[float, dict[str, float]] = {}

    def see(self, network: nn.Module, alpha: float) -> None:
        """Measure a network in evaluation mode if it is one that counts; nothing of it is changed."""
        if alpha not in LOOKED_AT or self._images is None:
            return
        if self._layers is None:
            self._layers = unit_layers(network, self._images[:2])
        batches = record_moments(network, self._layers, [self._images])
        self._found[alpha] = {name: float(pool_moments(batches, name).var.sqrt().mean()) for name in self._layers}

    def ratios(self) -> dict[str, float]:
        """Layer -> mean deviation of its units at 0.5 over the mean of both ends'; empty if not all three were seen."""
        if set(self._found) != set(LOOKED_AT):
            return {}
        a, middle, b = (self._found[alpha] for alpha in LOOKED_AT)
        return {
            name: middle[name] / ((a[name] + b[name]) / 2) if a[name] + b[name] > 0 else math.nan for name in middle
        }

    def ratio(self) -> float | None:
        """That of the last hidden layer; None without one."""
        return next(reversed(self.ratios().values()), None)
