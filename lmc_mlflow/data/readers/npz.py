"""Reads an .npz file of images and labels, such as those of MedMNIST."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.data.arrays import Parts
from lmc_mlflow.stored_arrays import array_names, read_arrays

MOST_CHANNELS = 16
"""An array with more than this in its last axis is a volume, not an image."""
CHANNELS = 4
"""An array with as few rows and more channels has its channels first."""
Arrays = dict[str, NDArray[Any]]


def read_npz(data_root: Path, validation: str) -> Parts:
    """Read the images of an .npz file in the layout of MedMNIST (Yang et al.).

    It holds train_images, train_labels, test_images, test_labels, and often val_images and val_labels.
    Images are uint8, (N, H, W) or (N, H, W, C). Labels are classes 0..K-1, (N,) or (N, 1), or zeros and
    ones (N, K) where an image may have several.

    Args:
        data_root: the file, or a folder that holds this one .npz file.
        validation: `unused`, or `train`: the validation images follow the training images.

    Raises:
        ValueError: no such file or one that is damaged, arrays that are missing or do not fit together.
    """
    file = _find(data_root)
    arrays = _read_arrays(file, validation)
    labels = {name.removesuffix("_labels"): array for name, array in arrays.items() if name.endswith("_labels")}
    labels, num_classes = _checked_labels(file, labels)
    images = {
        name.removesuffix("_images"): _channels_first(file, name, array)
        for name, array in arrays.items()
        if name.endswith("_images")
    }
    for part, array in images.items():
        if len(array) != len(labels[part]) or len(array) == 0:
            raise ValueError(
                f"npz: {file}: {part}_images holds {len(array)} images and {part}_labels {len(labels[part])} labels; "
                "they must be equally many, and not none"
            )
        if array.shape[1:] != images["train"].shape[1:]:
            raise ValueError(
                f"npz: {file}: {part}_images are {array.shape[1:]}, train_images are {images['train'].shape[1:]} "
                "(C, H, W); all must be of one size"
            )
    return Parts(
        _training(images, validation),
        _training(labels, validation),
        images["test"],
        labels["test"],
        tuple(str(c) for c in range(num_classes)),
    )


def _training(arrays: Arrays, validation: str) -> NDArray[Any]:
    return np.concatenate([arrays["train"], arrays["val"]]) if validation == "train" else arrays["train"]


def _find(data_root: Path) -> Path:
    """Find the .npz file that data_root is, or holds."""
    try:
        if not data_root.is_dir():
            if not data_root.exists():
                raise ValueError(f"npz: {data_root} does not exist; data_root must be an .npz file or a folder of one")
            if not data_root.is_file():
                raise ValueError(f"npz: {data_root} is no file; data_root must be an .npz file or a folder of one")
            return data_root
        files = sorted(path for path in data_root.iterdir() if path.suffix == ".npz")
    except PermissionError:
        raise ValueError(f"npz: {data_root} cannot be read: permission denied") from None
    if len(files) != 1:
        found = ", ".join(path.name for path in files) or "none"
        raise ValueError(f"npz: {data_root} must hold exactly one .npz file, found {found}; give data_root=<the file>")
    return files[0]


def _read_arrays(file: Path, validation: str) -> Arrays:
    """Read the arrays that are needed; the validation labels too where there are any, as they may name a class."""
    needed = ["train_images", "train_labels", "test_images", "test_labels"]
    if validation == "train":
        needed += ["val_images", "val_labels"]
    try:
        stored = array_names(file)
        _check_names(stored, needed)
        return read_arrays(file, [name for name in stored if name in (*needed, "val_labels")])
    except PermissionError:
        raise ValueError(f"npz: {file} cannot be read: permission denied") from None
    except KeyError as error:
        raise ValueError(f"npz: {file} {error.args[0]}") from None
    except ValueError as error:
        raise ValueError(f"npz: {file} cannot be read ({error}); replace it") from None


def _check_names(found: list[str], needed: list[str]) -> None:
    missing = [name for name in needed if name not in found]
    if missing:
        way_out = "leave validation at unused" if missing[0].startswith("val") else "name its arrays so"
        raise KeyError(f"has no {', '.join(missing)} among {', '.join(map(repr, sorted(found)))}; {way_out}")


def _channels_first(file: Path, name: str, images: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring images (N, H, W) or (N, H, W, C) to (N, C, H, W)."""
    if images.dtype != np.uint8:
        raise ValueError(f"npz: {file}: {name} is {images.dtype}, not uint8; store pixels as whole numbers in 0..255")
    if images.ndim == 3:
        return images[:, None]
    if images.ndim != 4 or images.shape[3] > MOST_CHANNELS:
        raise ValueError(
            f"npz: {file}: {name} has shape {images.shape}; images are (N, H, W) or (N, H, W, C), of at most "
            f"{MOST_CHANNELS} channels"
        )
    if images.shape[1] <= CHANNELS < images.shape[3]:
        raise ValueError(
            f"npz: {file}: {name} has shape {images.shape}, which looks like (N, C, H, W); store images as (N, H, W, C)"
        )
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _checked_labels(file: Path, labels: Arrays) -> tuple[Arrays, int]:
    """Check labels: classes (N,) int64 or zeros and ones (N, K) uint8, all parts alike; count the classes K."""
    flat = {part: array[:, 0] if array.shape[1:] == (1,) else array for part, array in labels.items()}
    for part, array in flat.items():
        if array.dtype.kind not in "biu":
            raise ValueError(f"npz: {file}: {part}_labels is {array.dtype}; labels are whole numbers")
        if array.ndim not in (1, 2) or array.shape[1:] != flat["train"].shape[1:]:
            raise ValueError(
                f"npz: {file}: {part}_labels has shape {labels[part].shape}, train_labels {labels['train'].shape}; "
                "labels are (N,), (N, 1) or, where an image may have several, (N, K) in all parts"
            )
    if flat["train"].ndim == 2:
        for part, array in flat.items():
            if not np.isin(array, (0, 1)).all():
                raise ValueError(f"npz: {file}: {part}_labels of shape {array.shape} must hold zeros and ones alone")
        return {part: array.astype(np.uint8) for part, array in flat.items()}, flat["train"].shape[1]
    seen = np.unique(np.concatenate([array.astype(np.int64) for array in flat.values()]))
    if len(seen) == 0 or seen[0] < 0 or seen[-1] != len(seen) - 1:
        listed = ", ".join(map(str, seen[:10].tolist())) + (", ..." if len(seen) > 10 else "")
        raise ValueError(f"npz: {file}: labels are {listed}; classes are numbered 0, 1, ... without a gap")
    return {part: array.astype(np.int64) for part, array in flat.items()}, len(seen)
