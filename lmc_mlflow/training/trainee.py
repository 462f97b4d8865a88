"""A network in training, with everything that its next step depends on."""

import copy
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lmc_mlflow.batches import Images, ResidentImages
from lmc_mlflow.seeds import global_stream
from lmc_mlflow.training.noise import NoiseStream
from lmc_mlflow.training.noise_trace import EpochTrace


@dataclass
class Trainee:
    """One network in training, with everything that its next step depends on.

    Attributes:
        side: the name of the network within its training: `A` or `B` in a pair.
        network: in training; on the training device.
        optimizer: of its parameters.
        noise: batch order, augmentation and dropout.
        images: N scaled images, returned on the training device.
        labels: (N,) class indices or (N, K) zeros and ones, on the same device.
        edge: (C, 1, 1) on the same device, what comes in where an image is moved; None: 0.
        traces: the draws of each epoch so far.
        train_seconds: spent on training this network so far, without tests.
        test_seconds: spent on testing it in this process.
    """

    side: str
    network: nn.Module
    optimizer: Optimizer
    noise: NoiseStream
    images: Images
    labels: Tensor
    edge: Tensor | None = None
    traces: list[EpochTrace] = field(default_factory=list)
    train_seconds: float = 0.0
    test_seconds: float = 0.0

    @cached_property
    def host_labels(self) -> Tensor:
        """The labels on the CPU, copied there once."""
        return self.labels.cpu()


def why_not_resident(trainee: Trainee) -> str | None:
    """Return None where the images lie on the device as one tensor, else why they do not."""
    if isinstance(trainee.images, ResidentImages):
        return None
    if trainee.noise.boxed:
        return "random boxes of its images are resized as they are read"
    return "the images are read batch by batch; a higher memory_gb keeps them in memory"


def ends_in_one_image(num_samples: int, batch_size: int) -> bool:
    """Tell whether the last batch of an epoch is a single image."""
    return batch_size == 1 or num_samples % batch_size == 1


def check_last_batch(network: nn.Module, images: Images, batch_size: int, side: str) -> None:
    """Check before training that a network can take the last batch of an epoch if that is a single image.

    Raises:
        ValueError: the network has batch norm, which cannot.
    """
    num_samples, *image_shape = images.shape
    if not ends_in_one_image(num_samples, batch_size):
        return
    scratch, device = copy.deepcopy(network).train(), next(network.parameters()).device
    with torch.no_grad(), global_stream(0, device):
        try:
            scratch(torch.zeros(1, *image_shape, device=device))
        except ValueError:
            raise ValueError(
                f"batch_size={batch_size}: of the {num_samples} training images of side {side} the last batch holds a "
                "single one, which batch norm cannot take; choose another batch_size"
            ) from None
