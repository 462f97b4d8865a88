"""Trains made-up pairs on a device, for the checks of this folder."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.config.train_pair import NoiseConfig, OptimizationConfig
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.training.loop import train
from lmc_mlflow.training.noise import noise_stream
from lmc_mlflow.training.optimizers import make_optimizer
from lmc_mlflow.training.trainee import Trainee

MNIST, CIFAR, PATCH = (1, 28, 28), (3, 32, 32), (1, 120, 120)
NUM_CLASSES = 10
CPU = torch.device("cpu")
Row = dict[str, Any]
Rows = Iterator[Row]
"""One row a result; where there is a limit, `holds` says whether it is kept."""


@dataclass(frozen=True)
class Setting:
    """Where the checks run.

    Attributes:
        device: that is checked.
        small: whether a few small networks are enough: a minute on a CPU or a simulated device.
        data_root: folder of MNIST for whole commands; empty: digits.
    """

    device: torch.device
    small: bool = False
    data_root: str = ""


@dataclass(frozen=True)
class Case:
    """A network, its made-up images, and how it is trained.

    Attributes:
        model: name of the network.
        shape: C, H, W of the images.
        num_images: of each side.
        options: fields of `OptimizationConfig`.
        seeds: a pair is trained for each.
        scope: `noise_scope`.
        flips: whether images are flipped.
        translate: largest translation in pixels.
    """

    model: str
    shape: tuple[int, int, int]
    num_images: int
    options: dict[str, Any] = field(default_factory=dict)
    seeds: Sequence[int] = (1,)
    scope: str = "run"
    flips: bool = False
    translate: int = 0

    def config(self, **options: Any) -> OptimizationConfig:
        """Return how it is trained; `options` come before its own."""
        return OptimizationConfig(**{"epochs": 2, **self.options, **options})

    def trainees(self, config: OptimizationConfig, device: torch.device) -> list[Trainee]:
        """Build the networks, at their start, with their images."""
        made = []
        for seed, (number, side) in itertools.product(self.seeds, enumerate("AB")):
            images, labels = made_up(self.shape, self.num_images, number, device)
            network = build_network(NetworkSpec(self.model, *self.shape, NUM_CLASSES), seed).to(device)
            noise = noise_stream(NoiseConfig(noise_scope=self.scope), seed, side, device, self.translate)
            made.append(Trainee(side, network, make_optimizer(network.parameters(), config), noise, images, labels))
        return made


def made_up(
    shape: tuple[int, int, int], num_images: int, seed: int, device: torch.device
) -> tuple[ResidentImages, Tensor]:
    """Draw images and labels on the CPU, the same for every device."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(num_images, *shape, generator=generator)
    labels = torch.randint(0, NUM_CLASSES, (num_images,), generator=generator)
    return ResidentImages(images.to(device)), labels.to(device)


def trained(case: Case, engine: str, device: torch.device, **options: Any) -> tuple[str, list[Tensor]]:
    """Train a case; return the engine that did, and all weights on the CPU."""
    config = case.config(engine=engine, **options)
    trainees = case.trainees(config, device)
    test = made_up(case.shape, min(case.num_images, 200), 9, device)
    used = train(trainees, test, config, case.flips, 1, lambda *_: None, engine)
    return used, [p.detach().cpu() for trainee in trainees for p in trainee.network.parameters()]


def largest_difference(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    """Return the largest difference of any weight."""
    return max(float((x - y).abs().max()) for x, y in zip(a, b, strict=True))
