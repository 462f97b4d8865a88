"""Checks what a data set holds before anything is trained on it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.data.datasets import Dataset
from lmc_mlflow.data.pixels import ArraySource


def check_content(name: str, dataset: Dataset) -> None:
    """Check that there is something to learn from a data set, and that the test asks for nothing else.

    Raises:
        ValueError: images without pixels or all equal, one class alone, or a class in the test set alone.
    """
    _, _, height, width = dataset.train.shape
    if not height * width:
        raise ValueError(f"{name}: images of {height} x {width} have no pixels; replace them")
    if len(dataset.classes) < 2:
        raise ValueError(f"{name}: there is one class alone, {', '.join(dataset.classes)}; add images of another")
    if dataset.train_labels.ndim == 1:
        unseen = np.setdiff1d(dataset.test_labels, dataset.train_labels)
        if len(unseen):
            named = ", ".join(dataset.classes[label] for label in unseen[:5])
            raise ValueError(f"{name}: never in training, but in the test set: {named}; add training images of it")
    if isinstance(dataset.train, ArraySource) and _all_equal(dataset.train.array):
        raise ValueError(f"{name}: all training images are equal; was a channel lost when they were written?")


def check_labels(name: str, labels: Sequence[NDArray[Any]]) -> None:
    """Check that images of several labels have any.

    Args:
        name: of the data set.
        labels: of side A, side B and the test set.

    Raises:
        ValueError: naming the part without a label.
    """
    for part, own in zip(("side A", "side B", "the test set"), labels, strict=True):
        if own.ndim == 2 and not own.any():
            raise ValueError(
                f"{name}: none of the {len(own)} images of {part} has a label, which leaves average precision "
                "undefined; choose another split, shift or data set"
            )


def check_translation(config: DataConfig, shape: tuple[int, ...]) -> None:
    """Check that images (N, C, H, W) can be translated or cropped, and stay in the picture.

    Raises:
        ValueError: they do not.
    """
    _, _, height, width = shape
    if min(height, width) == 1 and (config.resizes or config.largest_move(height, width)):
        raise ValueError(
            f"augmentation={config.augmentation}: images of {height} x {width} cannot be moved or cropped; choose "
            "another augmentation"
        )
    largest = config.largest_move(height, width)
    if largest >= min(height, width):
        name = "crop_padding" if config.crops else "translate_pixels"
        raise ValueError(f"{name}={largest}: images of {height} x {width} leave the picture; give less")


def check_resizing(config: DataConfig, full_scale: float) -> None:
    """Check that boxes of the images can be resized.

    Raises:
        ValueError: they are no pictures.
    """
    if config.resizes and full_scale not in (1.0, 255.0):
        raise ValueError(
            f"augmentation={config.augmentation}: {config.dataset} holds no pictures of 8 bits; choose flip_crop"
        )


def _all_equal(images: np.ndarray) -> bool:
    """Return whether all of several images are the same; of different ones only the first few are looked at."""
    return len(images) > 1 and all(np.array_equal(image, images[0]) for image in images[1:])
