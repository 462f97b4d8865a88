"""Measures how far the gradients of two data sets agree at one network."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from lmc_mlflow.batches import Images
from lmc_mlflow.predictions.scores import mean_loss
from lmc_mlflow.seeds import global_stream, stream

NUM_IMAGES = 512
"""Of each data set."""
BATCH_SIZE = 128
LabelledData = tuple[Images, Tensor]
"""Images and their labels, on the device of the network."""


def gradient_agreement(network: nn.Module, a: LabelledData, b: LabelledData) -> float:
    """Measure the cosine between the gradients of the mean losses on A and on B, at the weights that a network has.

    Each gradient is that of up to `NUM_IMAGES` images, drawn from a fixed stream: the same positions of both where both
    have as many images, so that equal data agree fully. 1: a small step lowers both losses alike; -1: what lowers one
    raises the other. NaN where a gradient is 0 or not finite.

    Args:
        network: in evaluation mode, on the device of the data; tensors that need no gradient do not count.
        a: images and labels of one data set.
        b: of the other.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    of_a, of_b = (_gradient(network, trained, *data) for data in (a, b))
    length = float(of_a.norm() * of_b.norm())
    if not math.isfinite(length) or length == 0:
        return math.nan
    return min(1.0, max(-1.0, float(of_a @ of_b) / length))


def sampled_positions(num_images: int) -> Tensor:
    """Draw the positions of the images whose gradient is taken: (n,), n at most `NUM_IMAGES`."""
    return torch.randperm(num_images, generator=stream(0, "gradient_agreement"))[:NUM_IMAGES]


def _gradient(network: nn.Module, trained: list[nn.Parameter], images: Images, labels: Tensor) -> Tensor:
    """Compute the gradient (P,) float64 of the mean loss on the sampled images."""
    positions = sampled_positions(len(labels))
    total = torch.zeros(sum(parameter.numel() for parameter in trained), dtype=torch.float64)
    with global_stream(0, labels.device):
        for batch, own in _batches(images, labels, positions):
            gradients = torch.autograd.grad(mean_loss(network(batch), own), trained, allow_unused=True)
            parts = [g if g is not None else torch.zeros_like(p) for g, p in zip(gradients, trained, strict=True)]
            total += torch.cat([part.flatten() for part in parts]).cpu().double() * (len(own) / len(positions))
    return total


def _batches(images: Images, labels: Tensor, positions: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    chosen = labels[positions.to(labels.device)]
    yield from zip(images.batches(positions, BATCH_SIZE), torch.split(chosen, BATCH_SIZE), strict=True)
