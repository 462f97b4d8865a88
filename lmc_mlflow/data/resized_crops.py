"""Draws random boxes in images, and resizes what is in them: the usual augmentation for ImageNet."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

AREAS = (0.08, 1.0)
"""Share of an image that a box covers, at least and at most, as in torchvision."""
RATIOS = (3 / 4, 4 / 3)
"""Width over height of a box, at least and at most."""
TRIES = 10
"""Boxes that are drawn for an image; where none lies within it, the whole image is taken."""


def draw_boxes(num_images: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Draw a box for each image as torchvision's RandomResizedCrop does, all at once.

    The area is uniform in `AREAS`, the logarithm of the ratio uniform between those of `RATIOS`, the place uniform
    among all. Where no try fits, torchvision takes the largest box in the middle whose ratio is allowed. Here it is the
    whole image, which is the same for images that are about square.

    Returns:
        (N, 4) first row, first column, height, width, int64 on the CPU.
    """
    area = torch.empty(num_images, TRIES, dtype=torch.float64).uniform_(*AREAS, generator=generator) * height * width
    logarithm = torch.empty_like(area).uniform_(*map(math.log, RATIOS), generator=generator)
    heights = (area / logarithm.exp()).sqrt().round().long()
    widths = (area * logarithm.exp()).sqrt().round().long()
    fits = (heights > 0) & (heights <= height) & (widths > 0) & (widths <= width)
    first = fits.long().argmax(dim=1, keepdim=True)  # the first try that fits, or 0
    any_fits = fits.any(dim=1)
    box_height = torch.where(any_fits, heights.gather(1, first)[:, 0], height)
    box_width = torch.where(any_fits, widths.gather(1, first)[:, 0], width)
    place = torch.rand(num_images, 2, dtype=torch.float64, generator=generator)
    row = (place[:, 0] * (height - box_height + 1)).long()
    column = (place[:, 1] * (width - box_width + 1)).long()
    return torch.stack([row, column, box_height, box_width], dim=1)


@dataclass(frozen=True)
class ResizingThreads:
    """Threads among which the boxes of a batch are divided."""

    pool: ThreadPoolExecutor
    number: int


def resize_boxes(images: Tensor, boxes: Tensor, threads: ResizingThreads) -> Tensor:
    """Cut a box out of each image and bring it to the size of the image (bilinear, antialiased).

    Args:
        images: (n, C, H, W) raw, uint8 or float32, on the CPU; not changed.
        boxes: (n, 4) as `draw_boxes` draws them.
        threads: among which the images are divided.
    """
    resized = torch.empty_like(images)

    def resize(start: int, end: int) -> None:
        for i in range(start, end):
            row, column, height, width = boxes[i].tolist()
            part = images[i : i + 1, :, row : row + height, column : column + width]
            resized[i] = functional.interpolate(
                part, size=images.shape[2:], mode="bilinear", align_corners=False, antialias=True
            )[0]

    bounds = torch.linspace(0, len(images), threads.number + 1).long().tolist()
    for done in [threads.pool.submit(resize, start, end) for start, end in pairwise(bounds)]:
        done.result()
    return resized


@contextmanager
def resizing_threads(boxes: Tensor | None) -> Iterator[ResizingThreads | None]:
    """Keep threads that resize boxes within the block, as many as PyTorch uses; none where there are no boxes."""
    if boxes is None:
        yield None
        return
    number = torch.get_num_threads()
    with ThreadPoolExecutor(number, thread_name_prefix="resize") as pool:
        yield ResizingThreads(pool, number)
