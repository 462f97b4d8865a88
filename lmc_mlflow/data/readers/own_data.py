"""Reads images from a user's own function, named as `<module>:<function>`: arrays, a Dataset, or rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.data.arrays import Parts
from lmc_mlflow.data.image_shape import resize_images
from lmc_mlflow.data.readers.pictures import resize_image
from lmc_mlflow.own_code import call_own

MOST_CHANNELS = 16
IMAGE_KEYS, LABEL_KEYS = ("image", "img", "pixel_values"), ("label", "labels")
"""Names under which rows hold an image and its label."""


def read_own(name: str, data_root: str, image_size: int | None = None) -> Parts:
    """Call a user's function `load(data_root) -> train, test`, and bring what it returns to arrays.

    Each part is a pair of arrays (images, labels), or anything with a length and rows: pairs of an image and a label,
    as a torch Dataset has them, or mappings with `image` and `label`. Images are bytes, or floats in [0, 1] or
    [0, 255]; arrays and pictures have their channels last or none, tensors have theirs first.

    Args:
        name: of the function.
        data_root: what it is called with.
        image_size: height and width to bring every image to; None: they are of one size.

    Raises:
        ValueError: the function is missing or raises, or its images or labels cannot be used; says which.
    """
    found = call_own("dataset", name, data_root)
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise ValueError(f"dataset {name!r} returned a {type(found).__name__}; return train, test")
    named = zip(("train", "test"), found, strict=True)
    parts = [_arrays(f"dataset {name!r}: {label}", part, image_size) for label, part in named]
    (train_images, train_labels), (test_images, test_labels) = parts
    if train_images.shape[1:] != test_images.shape[1:]:
        raise ValueError(
            f"dataset {name!r}: training images are {train_images.shape[1:]} and test images {test_images.shape[1:]} "
            "(C, H, W); all must be of one size"
        )
    labels, classes = _classes(name, train_labels, test_labels)
    images = _alike(name, [train_images, test_images])
    return Parts(images[0], labels[0], images[1], labels[1], classes)


def _arrays(label: str, part: Any, image_size: int | None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return images (N, C, H, W) and labels as they are."""
    if isinstance(part, tuple | list) and len(part) == 2 and hasattr(part[0], "shape"):
        images, labels = _channels_first(label, part[0], batched=True), _as_array(part[1])
        if image_size is not None:
            images = resize_images(_bytes_or_floats(images), image_size, label)
    else:
        images, labels = _from_rows(label, part, image_size)
    if len(images) != len(labels) or not len(images):
        raise ValueError(
            f"{label}: {len(images)} images and {len(labels)} labels; they must be equally many, and not none"
        )
    return images, labels


def _from_rows(label: str, rows: Sequence[Any], image_size: int | None) -> tuple[NDArray[Any], NDArray[Any]]:
    try:
        pairs = [_image_and_label(rows[i]) for i in range(len(rows))]
    except (TypeError, KeyError, ValueError, IndexError) as error:
        raise ValueError(
            f"{label} is a {type(rows).__name__} whose rows are no image and label ({type(error).__name__}: {error}); "
            "give arrays (images, labels), a torch Dataset, or rows with image and label"
        ) from None
    images = [_channels_first(label, image, batched=False) for image, _ in pairs]
    if image_size is not None:
        images = [resize_image(_bytes_or_floats(image), image_size) for image in images]
    shapes = sorted({image.shape for image in images})
    if len(shapes) > 1:
        raise ValueError(f"{label}: images of {shapes[0]} and of {shapes[1]} (C, H, W); give image_size=<pixels>")
    return np.stack(images) if images else np.empty((0, 1, 1, 1)), np.array([_as_array(value) for _, value in pairs])


def _image_and_label(row: Any) -> tuple[Any, Any]:
    if not isinstance(row, Mapping):
        image, value = row
        return image, value
    keys = [next(key for key in names if key in row) for names in (IMAGE_KEYS, LABEL_KEYS) if set(names) & set(row)]
    if len(keys) < 2:
        raise KeyError(f"keys {', '.join(map(str, row))}")
    return row[keys[0]], row[keys[1]]


def _channels_first(label: str, given: Any, batched: bool) -> NDArray[Any]:
    """Bring images (N, ...), or one image, to channels first; only tensors come so already."""
    is_tensor, array = hasattr(given, "detach"), _as_array(given)
    wanted = 4 if batched else 3
    if array.ndim == wanted - 1:
        return np.expand_dims(array, 1 if batched else 0)
    if array.ndim != wanted:
        raise ValueError(f"{label}: images of shape {array.shape}; an image is (H, W) or (H, W, C), a tensor (C, H, W)")
    if not is_tensor:
        array = np.moveaxis(array, -1, 1 if batched else 0)
    channels = array.shape[1 if batched else 0]
    if channels > MOST_CHANNELS:
        layout = "(C, H, W)" if is_tensor else "(H, W, C)"
        raise ValueError(f"{label}: {channels} channels, with an image read as {layout}; put the channels there")
    return np.ascontiguousarray(array)


def _bytes_or_floats(image: NDArray[Any]) -> NDArray[Any]:
    """Give pixels in a type that can be resized: whole numbers in 0..255 as bytes, all others as float32."""
    whole = image.dtype.kind in "ui" and image.size > 0 and image.min() >= 0 and image.max() <= 255
    return image.astype(np.uint8 if whole else np.float32)


def _as_array(given: Any) -> NDArray[Any]:
    return np.asarray(given.detach().cpu().numpy() if hasattr(given, "detach") else given)


def _alike(name: str, images: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Return all images as bytes, or all as float32 in [0, 1]."""
    if all(part.dtype == np.uint8 for part in images):
        return images
    for part in images:
        if part.dtype.kind not in "uif":
            raise ValueError(f"dataset {name!r}: images are {part.dtype}; give bytes, or floats in [0, 1] or [0, 255]")
    low, high = min(float(part.min()) for part in images), max(float(part.max()) for part in images)
    if not (low >= 0 and high <= 255):  # nan is neither
        raise ValueError(
            f"dataset {name!r}: pixels lie in [{low:g}, {high:g}]; give bytes, or floats in [0, 1] or [0, 255]"
        )
    if all(part.dtype.kind in "ui" for part in images):
        return [part.astype(np.uint8) for part in images]
    highest = max(float(part.max()) for part in images if part.dtype.kind == "f")
    return [(part / 255 if part.dtype.kind in "ui" or highest > 1 else part).astype(np.float32) for part in images]


def _classes(name: str, *labels: NDArray[Any]) -> tuple[list[NDArray[Any]], tuple[str, ...]]:
    """Return labels (N,) int64 of classes 0..K-1, or (N, K) uint8 zeros and ones, and the names of the classes."""
    flat = [part[:, 0] if part.shape[1:] == (1,) else part for part in labels]
    if any(part.dtype.kind not in "biu" for part in flat):
        raise ValueError(f"dataset {name!r}: labels are {flat[0].dtype} and {flat[1].dtype}; give whole numbers")
    if flat[0].ndim == 2 and flat[0].shape[1:] == flat[1].shape[1:]:
        if not all(np.isin(part, (0, 1)).all() for part in flat):
            raise ValueError(f"dataset {name!r}: labels (N, K) must hold zeros and ones alone")
        return [part.astype(np.uint8) for part in flat], tuple(map(str, range(flat[0].shape[1])))
    if any(part.ndim != 1 for part in flat):
        raise ValueError(
            f"dataset {name!r}: labels of shapes {flat[0].shape} and {flat[1].shape}; give (N,), or (N, K)"
        )
    seen = np.unique(np.concatenate([part.astype(np.int64) for part in flat]))
    if seen[0] < 0 or seen[-1] != len(seen) - 1:
        listed = ", ".join(map(str, seen[:10].tolist())) + (", ..." if len(seen) > 10 else "")
        raise ValueError(f"dataset {name!r}: labels are {listed}; number the classes 0, 1, ... without a gap")
    return [part.astype(np.int64) for part in flat], tuple(map(str, range(len(seen))))
