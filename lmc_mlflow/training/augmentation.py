"""Flips and translates the images of a batch by amounts drawn beforehand."""

import torch
from torch import Tensor
from torch.nn import functional


def flip_in_place(images: Tensor, flipped: Tensor) -> None:
    """Flip some images of a batch from left to right (in place).

    On a CPU this is twice as fast as a `torch.where` over the whole batch.

    Args:
        images: (n, C, H, W), gathered for one step; changed in place.
        flipped: (n,) on the CPU, true where an image is flipped.
    """
    rows = flipped.nonzero().flatten().to(images.device)
    images.index_copy_(0, rows, images.index_select(0, rows).flip(-1))


def translate_images(images: Tensor, moves: Tensor, largest: int) -> Tensor:
    """Return the images, each moved by its own number of whole pixels and filled with 0 at the other edge.

    Args:
        images: (n, C, H, W) on any device; not changed.
        moves: (n, 2) on the same device, pixels down and to the right, each from -largest to largest.
        largest: the largest possible move, in pixels.
    """
    n, c, h, w = images.shape
    device = images.device
    padded = functional.pad(images, (largest, largest, largest, largest))
    rows = torch.arange(h, device=device) + largest - moves[:, :1]
    columns = torch.arange(w, device=device) + largest - moves[:, 1:]
    of_image = torch.arange(n, device=device)[:, None, None, None]
    of_channel = torch.arange(c, device=device)[None, :, None, None]
    return padded[of_image, of_channel, rows[:, None, :, None], columns[:, None, None, :]]
