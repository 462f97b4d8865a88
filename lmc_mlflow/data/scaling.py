"""Scales raw pixels to the numbers that a network is given."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lmc_mlflow.batches import send
from lmc_mlflow.data.pixels import Source

Constants = tuple[Tensor, Tensor]
"""Mean and deviation (C, 1, 1) on a device."""


@dataclass(frozen=True)
class Scaling:
    """Per-channel (x / full_scale - mean) / deviation."""

    full_scale: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @staticmethod
    def of(normalization: str, source: Source) -> "Scaling":
        """Compute the constants of `centered` (from all images of the source), `half` or `unit`."""
        channels = source.shape[1]
        if normalization == "unit":
            return Scaling(source.full_scale, (0.0,) * channels, (1.0,) * channels)
        if normalization == "half":
            return Scaling(source.full_scale, (0.5,) * channels, (0.5,) * channels)
        means, deviations = source.statistics()
        # A constant channel has no deviation to divide by; it becomes 0.
        return Scaling(source.full_scale, means, tuple(d if d > 0 else 1.0 for d in deviations))

    def constants(self, device: torch.device) -> Constants | None:
        """Copy mean and deviation (C, 1, 1) to a device; None where they change nothing."""
        if set(self.mean) == {0.0} and set(self.deviation) == {1.0}:
            return None
        mean, deviation = (send(torch.tensor(value), device)[:, None, None] for value in (self.mean, self.deviation))
        return mean, deviation

    def apply(self, raw: Tensor, constants: Constants | None = None) -> Tensor:
        """Scale raw images (N, C, H, W) to float32, in the operations of torchvision's ToTensor and Normalize.

        Args:
            raw: on any device.
            constants: from `constants`, for callers with many batches; None: they are copied anew.
        """
        if raw.dtype == torch.int16:  # holds unsigned values
            raw = raw.to(torch.int32).bitwise_and_(0xFFFF)
        out = raw.to(torch.float32, copy=True)
        if self.full_scale != 1:
            out.div_(self.full_scale)
        constants = constants or self.constants(out.device)
        if constants is None:
            return out
        mean, deviation = constants
        return out.sub_(mean).div_(deviation)
