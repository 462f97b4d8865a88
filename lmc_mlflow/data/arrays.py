"""A data set in memory: training and test images with their labels."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class Parts:
    """A training and a test part.

    Images (N, C, H, W): uint8 in 0..255, or float32 as they are. Labels: (N,) int64 class indices,
    or (N, K) uint8 zeros and ones where an image may have several labels.
    """

    train_images: NDArray[Any]
    train_labels: NDArray[Any]
    test_images: NDArray[Any]
    test_labels: NDArray[Any]
    classes: tuple[str, ...]
