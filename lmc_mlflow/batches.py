"""Batches of images: from one tensor on the device, or from anything else with the method `batches`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Images(Protocol):
    """Scaled images (N, C, H, W) that come in batches on the device they are used on."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """N, C, H, W."""

    def batches(self, order: Tensor | None, batch_size: int, boxes: Tensor | None = None) -> Iterator[Tensor]:
        """Yield batches (n, C, H, W) float32 of the images at these positions, in this order.

        Args:
            order: (M,) positions on any device; None: all images as they lie.
            batch_size: images a batch; the last holds what is left.
            boxes: (M, 4) boxes of images that are read in batches, each brought to the size of the image; None: whole
                images.
        """

    def to(self, device: torch.device) -> "Images":
        """Give the same images for use on another device."""


@dataclass(frozen=True)
class ResidentImages:
    """Images that lie on the device as one tensor (N, C, H, W) float32.

    Attributes:
        tensor: the images.
        whole: a tensor of which they are consecutive rows; None: they lie alone.
        start: the first of these rows.
    """

    tensor: Tensor
    whole: Tensor | None = None
    start: int = 0

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """N, C, H, W."""
        n, c, h, w = self.tensor.shape
        return n, c, h, w

    def batches(self, order: Tensor | None, batch_size: int, boxes: Tensor | None = None) -> Iterator[Tensor]:
        """Yield batches as `Images` says; without an order they are views."""
        assert boxes is None, "images whose boxes are resized are read in batches"
        if order is None:
            yield from torch.split(self.tensor, batch_size)
            return
        for positions in torch.split(send(order, self.tensor.device), batch_size):
            yield self.tensor.index_select(0, positions)  # twice as fast on a CPU as tensor[positions]

    def to(self, device: torch.device) -> "ResidentImages":
        """Copy the images to another device; on their own they stay the part of a whole that they are."""
        moved = self.tensor.to(device)
        return self if moved is self.tensor else ResidentImages(moved)

    def of_copy(self, whole: Tensor) -> "ResidentImages":
        """Give the same part of a copy of the whole."""
        return ResidentImages(whole[self.start : self.start + len(self.tensor)], whole, self.start)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; from the CPU to a GPU through pinned memory, so that nobody waits for the copy."""
    if tensor.device.type == "cpu" and device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def channels_last(images: Tensor) -> Tensor:
    """Lay the images (n, C, H, W) out with channels last in memory.

    With a single channel both layouts are the same memory, but PyTorch reads the strides to tell which is
    meant, and would go on in the wrong one.
    """
    _, c, h, w = images.shape
    return images.contiguous(memory_format=torch.channels_last).as_strided(images.shape, (c * h * w, 1, w * c, c))


def evenly_spaced(images: Images, most: int) -> Tensor:
    """Take up to `most` of the images (n, C, H, W), evenly spaced."""
    num_images = images.shape[0]
    chosen = torch.linspace(0, num_images - 1, min(num_images, most)).round().long()
    return next(images.batches(chosen, most))
