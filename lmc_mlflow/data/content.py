"""Checks what a data set holds before anything is trained on it."""

import numpy as np

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


def _all_equal(images: np.ndarray) -> bool:
    """Return whether all of several images are the same; of different ones only the first few are looked at."""
    return len(images) > 1 and all(np.array_equal(image, images[0]) for image in images[1:])
