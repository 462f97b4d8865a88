"""Scales raw pixels to the numbers that a network is given."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lmc_mlflow.batches import send
from lmc_mlflow.config.data import GIVEN, DataConfig
from lmc_mlflow.config.options import write_value
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
    def for_config(config: DataConfig, source: Source) -> "Scaling":
        """Compute the constants of a configuration.

        Raises:
            ValueError: the given numbers are not those of the channels, or not of pixels in [0, 1].
        """
        if config.normalization != GIVEN:
            return Scaling.of(config.normalization, source)
        _check_given(config, source)
        mean, std = (values * source.shape[1] if len(values) == 1 else values for values in (config.mean, config.std))
        return Scaling(source.full_scale, mean, std)

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

    def black(self) -> tuple[float, ...]:
        """Return what a raw 0 becomes in each channel."""
        values: list[float] = self.apply(torch.zeros(1, len(self.mean), 1, 1)).flatten().tolist()
        return tuple(values)

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
            out.div_(torch.full((), self.full_scale, device=out.device))  # by a number, CUDA multiplies by 1 / it
        constants = constants or self.constants(out.device)
        if constants is None:
            return out
        mean, deviation = constants
        return out.sub_(mean).div_(deviation)


def _check_given(config: DataConfig, source: Source) -> None:
    channels = source.shape[1]
    for name in ("mean", "std"):
        values = getattr(config, name)
        if len(values) not in (1, channels):
            have, hint = ("1 channel", ", or channels=3") if channels == 1 else (f"{channels} channels", "")
            raise ValueError(
                f"{name}={write_value(values)}: images of {config.dataset} have {have}; give one number for each, or "
                f"one for all{hint}"
            )
    if source.full_scale != 1 and not all(0 <= value <= 1 for value in config.mean):
        raise ValueError(
            f"mean={write_value(config.mean)}: pixels lie in [0, 1] here; divide mean and std by {source.full_scale:g}"
        )
