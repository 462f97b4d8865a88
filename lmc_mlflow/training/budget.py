"""Ends a training after a number of steps: in which epoch that is, and which batches that epoch still has."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lmc_mlflow.config.train_pair import BUDGETS, OptimizationConfig
from lmc_mlflow.training.noise import EpochDraws, NoiseStream


def steps_per_epoch(config: OptimizationConfig, num_samples: int) -> int:
    """Count the batches of a whole epoch."""
    return -(-num_samples // config.batch_size)


def num_epochs(config: OptimizationConfig, num_samples: int, before: int = 0) -> int:
    """Count the epochs of a network up to its last, which may end after some of its steps.

    Args:
        config: of its training.
        num_samples: of its side.
        before: epochs that it does not count its steps in: those before the sides part.
    """
    return config.epochs if config.steps is None else before + -(-config.steps // steps_per_epoch(config, num_samples))


def without_budget(config: OptimizationConfig) -> OptimizationConfig:
    """Give a training that ends after its epochs alone."""
    open_ended: dict[str, Any] = dict.fromkeys(BUDGETS)
    return replace(config, **open_ended)


def num_images(config: OptimizationConfig, num_samples: int, epochs: int) -> int:
    """Count the images of all batches of a network that was trained in so many epochs."""
    if config.steps is None:
        return epochs * num_samples
    whole, rest = divmod(config.steps, steps_per_epoch(config, num_samples))
    return whole * num_samples + rest * config.batch_size


@dataclass
class LimitedNoise:
    """The noise of a training that ends after a number of steps: the last epoch has the batches that are left.

    Attributes:
        noise: of a training without end.
        steps: that are made in all.
        before: epochs before the first of these steps.
    """

    noise: NoiseStream
    steps: int
    before: int = 0

    @property
    def translate(self) -> int:
        """The largest random translation of an image, in pixels."""
        return self.noise.translate

    @property
    def boxed(self) -> tuple[int, int] | None:
        """Height and width of images in which random boxes are resized."""
        return self.noise.boxed

    @contextmanager
    def epoch(self, epoch: int, num_samples: int, batch_size: int, flips: bool) -> Iterator[EpochDraws]:
        """Draw the noise of an epoch, as `NoiseStream` says; what belongs to later batches is left out."""
        left = self.steps - (epoch - 1 - self.before) * -(-num_samples // batch_size)
        with self.noise.epoch(epoch, num_samples, batch_size, flips) as draws:
            end = min(max(left, 0) * batch_size, num_samples)
            moves = None if draws.moves is None else draws.moves[:end]
            boxes = None if draws.boxes is None else draws.boxes[:end]
            yield replace(draws, order=draws.order[:end], moves=moves, boxes=boxes)

    def state(self) -> dict[str, Tensor]:
        """Return what must be kept to continue after the last whole epoch."""
        return self.noise.state()

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from a state that `state` returned."""
        self.noise.restore(state)

    def on(self, device: torch.device) -> "LimitedNoise":
        """Return the same noise, where it is now, for a training on another device."""
        return replace(self, noise=self.noise.on(device))


def limit_steps(noise: NoiseStream, config: OptimizationConfig, before: int = 0) -> NoiseStream:
    """Let the noise of a network end after the steps of a configuration, if it counts steps; `before` as above."""
    return noise if config.steps is None else LimitedNoise(noise, config.steps, before)
