"""How is a batch of images changed as its draws say? Flips first, then translations."""

import torch
from torch import Tensor
from torch.nn import functional


def flip_in_place(images: Tensor, flipped: Tensor) -> None:
    """Flip those images (n, C, H, W) of a batch gathered for one step for which `flipped` (n,), on the CPU, is true.

    Twice as fast on a CPU as a `torch.where` over the whole batch.
    """
    rows = flipped.nonzero().flatten().to(images.device)
    images.index_copy_(0, rows, images.index_select(0, rows).flip(-1))


def translate_images(images: Tensor, moves: Tensor, largest: int) -> Tensor:
    """Each image (n, C, H, W) moved by its own whole pixels, 0 coming in where nothing was; a new tensor.

    Args:
        images: on any device.
        moves: (n, 2) on the same device, down and to the right, each from -largest to largest.
        largest: of all moves.
    """
    n, c, h, w = images.shape
    device = images.device
    padded = functional.pad(images, (largest, largest, largest, largest))
    rows = torch.arange(h, device=device) + largest - moves[:, :1]
    columns = torch.arange(w, device=device) + largest - moves[:, 1:]
    of_image = torch.arange(n, device=device)[:, None, None, None]
    of_channel = torch.arange(c, device=device)[None, :, None, None]
    return padded[of_image, of_channel, rows[:, None, :, None], columns[:, None, None, :]]
