"""Brings images to another size, and grey images to three equal channels."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.data.arrays import Parts
from lmc_mlflow.data.memory import check_memory
from lmc_mlflow.data.readers.pictures import resize_image

COLOUR = 3
"""Channels of a colour image."""


def shape_images(parts: Parts, config: DataConfig) -> Parts:
    """Bring the images of a data set to `image_size` and `channels` of a configuration.

    Raises:
        ValueError: images that are neither grey nor of as many channels as are wanted, or more than memory can hold.
    """
    train, test = parts.train_images, parts.test_images
    if config.channels != "auto":
        check_channels(config, train.shape[1])
    if config.image_size is not None:
        train, test = (resize_images(images, config.image_size, config.dataset) for images in (train, test))
    if config.channels != "auto":
        train, test = (repeat_channels(images, int(config.channels)) for images in (train, test))
    return replace(parts, train_images=train, test_images=test)


def resize_images(images: NDArray[Any], size: int, dataset: str) -> NDArray[Any]:
    """Bring images (N, C, H, W) to (N, C, size, size), as `resize_image` does; bytes are rounded.

    Args:
        images: uint8 or float32; those that have the size are returned as they are.
        size: height and width in pixels.
        dataset: whose images they are, for errors.

    Raises:
        ValueError: memory cannot hold the resized images.
    """
    if images.shape[2:] == (size, size) or not math.prod(images.shape[2:]):
        return images
    num_images, channels = images.shape[:2]
    check_memory(dataset, num_images, channels * size * size * images.itemsize)
    resized = np.empty((num_images, channels, size, size), dtype=images.dtype)
    with ThreadPoolExecutor() as pool:
        done = pool.map(lambda image: resize_image(image, size), images)
        progress = tqdm(done, total=num_images, desc="resizing images", unit="img", leave=False, disable=None)
        for i, image in enumerate(progress):
            resized[i] = image
    return resized


def repeat_channels(images: NDArray[Any], channels: int) -> NDArray[Any]:
    """Show grey images (N, 1, H, W) in several equal channels (N, `channels`, H, W), in the memory of the one."""
    return np.broadcast_to(images, (len(images), channels, *images.shape[2:]))


def check_channels(config: DataConfig, found: int) -> None:
    """Check that images with so many channels can be shown in those of a configuration.

    Raises:
        ValueError: they cannot.
    """
    wanted = int(config.channels)
    if found not in (1, wanted):
        has = f"channels={wanted}: images of {config.dataset} have {found} channels"
        lost = "and making them grey would throw colour away" if found == COLOUR else "and only grey ones are repeated"
        raise ValueError(f"{has}, {lost}; leave channels at auto")
