"""Flips, translates and crops the images of a batch by amounts drawn beforehand."""

import torch
from torch import Tensor
from torch.nn import functional


def flip_in_place(images: Tensor, flipped: Tensor) -> None:
    """Flip some images of a batch from left to right (in place), without waiting for a GPU.

    Args:
        images: (n, C, H, W), gathered for one step; changed in place.
        flipped: (n,) on the same device, true where an image is flipped.
    """
    if images.device.type == "cpu":  # twice as fast there as going over the whole batch
        rows = flipped.nonzero().flatten()
        images.index_copy_(0, rows, images.index_select(0, rows).flip(-1))
    else:  # a GPU would have to tell how many they are
        images.copy_(torch.where(flipped[:, None, None, None], images.flip(-1), images))


def translate_images(images: Tensor, moves: Tensor, largest: int, edge: Tensor | None = None) -> Tensor:
    """Return the images, each moved by its own number of whole pixels and filled at the other edge.

    A random crop of an image with `largest` more pixels on each side is such a move: the crop that begins at row i and
    column j is a move by largest - i down and largest - j to the right.

    Args:
        images: (n, C, H, W) on any device; not changed.
        moves: (n, 2) on the same device, pixels down and to the right, each from -largest to largest.
        largest: the largest possible move, in pixels.
        edge: (C, 1, 1) or (n, C, 1, 1) on the same device, what the new pixels are; None: 0.
    """
    n, c, h, w = images.shape
    device = images.device
    padded = functional.pad(images, (largest, largest, largest, largest))
    if edge is not None:
        inside = padded[..., largest : largest + h, largest : largest + w]
        padded = edge.expand(n, c, *padded.shape[2:]).clone()
        padded[..., largest : largest + h, largest : largest + w] = inside
    rows = torch.arange(h, device=device) + largest - moves[:, :1]
    columns = torch.arange(w, device=device) + largest - moves[:, 1:]
    of_image = torch.arange(n, device=device)[:, None, None, None]
    of_channel = torch.arange(c, device=device)[None, :, None, None]
    return padded[of_image, of_channel, rows[:, None, :, None], columns[:, None, None, :]]
