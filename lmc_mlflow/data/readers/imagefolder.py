"""Reads images from folders, one folder for each class."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.data.arrays import Parts
from lmc_mlflow.data.readers.pictures import endings, in_order, read_pictures

logger = logging.getLogger(__name__)
KEPT_FOLDERS, KEPT_BYTES = 2, 2**30
"""How many decoded folders a process keeps, train and test, and how large one may be."""
Stamp = tuple[int | None, tuple[tuple[Path, int, int], ...]]
"""Image size, and path, bytes and time of change (nanoseconds) of every file: equal stamps, equal pictures."""
_kept: dict[Path, tuple[Stamp, NDArray[np.uint8]]] = {}


@dataclass(frozen=True, eq=False)
class FolderFiles:
    """The files of a folder of class folders, their labels (N,), class names in the order of the labels."""

    files: tuple[Path, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class FolderImages:
    """Images (N, C, H, W) in 0..255, labels (N,), class names in the order of the labels."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


def list_image_folder(root: Path) -> FolderFiles:
    """List every image below `root`/<class>/, in sorted order; names that begin with a dot are left out.

    Raises:
        ValueError: no such folder, no images, or links that lead in a circle.
    """
    if not root.is_dir():
        raise ValueError(f"imagefolder: {root} is no folder; data_root must hold train/<class>/ and test/<class>/")
    try:
        folders = [entry.name for entry in root.iterdir() if entry.is_dir()]
        classes = in_order(name for name in folders if not name.startswith("."))
        files = [_images_below(root / name) for name in classes]
    except PermissionError as error:
        raise ValueError(f"imagefolder: {error.filename} cannot be read: permission denied") from None
    hidden = sorted(name for name in folders if name.startswith("."))
    if hidden:
        logger.warning("imagefolder: %s is no class: its name begins with a dot", root / hidden[0])
    if not any(files):
        raise ValueError(f"imagefolder: {root} holds no images; put them into {root}/<class>/")
    for name, below in zip(classes, files, strict=True):
        if not below:
            raise ValueError(f"imagefolder: {root / name} holds no images; put some there, or remove the folder")
        if not name.isprintable():
            raise ValueError(f"imagefolder: the folder {name!a} of {root} is not named in UTF-8; rename it")
    labels = np.repeat(np.arange(len(classes)), [len(below) for below in files])
    return FolderFiles(tuple(path for below in files for path in below), labels, classes)


def read_image_folder(root: Path, image_size: int | None) -> FolderImages:
    """Read every image that `list_image_folder` lists.

    Args:
        root: a folder of class folders.
        image_size: height and width to bring every image to (bilinear); None: they are of one size.

    Raises:
        ValueError: as `list_image_folder`, a file that is no image or is damaged, or images of several sizes or kinds
            where image_size is None.
    """
    listed = list_image_folder(root)
    return FolderImages(_read_once(root, listed.files, image_size), listed.labels, listed.classes)


def _read_once(root: Path, files: tuple[Path, ...], image_size: int | None) -> NDArray[np.uint8]:
    """Decode the pictures of a folder, or return those that this process decoded before if no file has changed.

    A worker of a sweep trains a pair, measures its path and scores its ensembles one after the other; each loads the
    data set again.
    """
    stamp = image_size, tuple(_state(path) for path in files)
    if root in _kept and _kept[root][0] == stamp:
        return _kept[root][1]
    _kept.pop(root, None)
    images = read_pictures(files, image_size, "imagefolder")
    if images.nbytes <= KEPT_BYTES:
        while len(_kept) >= KEPT_FOLDERS:
            del _kept[next(iter(_kept))]
        _kept[root] = stamp, images
    return images


def _state(path: Path) -> tuple[Path, int, int]:
    """Tell a file from its earlier or later self; one that cannot be asked is refused when it is read."""
    try:
        found = path.stat()
    except OSError:
        return path, -1, -1
    return path, found.st_size, found.st_mtime_ns


def _images_below(folder: Path) -> list[Path]:
    """List the images in a folder and in those below it, in sorted order."""
    known = endings()
    found = []
    for where, below, names in os.walk(folder, onerror=_refuse, followlinks=True):
        _check_circle(Path(where))
        below[:] = [name for name in below if not name.startswith(".")]
        plain = sorted(name for name in names if not name.startswith(".") and name.lower().endswith(known))
        found.append((where, [Path(where) / name for name in plain]))
    return [path for _, paths in sorted(found) for path in paths]


def _check_circle(folder: Path) -> None:
    """Refuse a link to a folder that the link lies in."""
    if folder.is_symlink() and folder.resolve() in [above.resolve() for above in folder.parents]:
        raise ValueError(f"imagefolder: {folder} is a link to a folder above it; remove it")


def _refuse(error: OSError) -> None:
    raise error


def read_image_folders(root: Path, image_size: int | None) -> Parts:
    """Read the images below `root`/train/<class>/ and `root`/test/<class>/.

    Raises:
        ValueError: as `read_image_folder`, or the two hold other classes or image sizes.
    """
    train = read_image_folder(root / "train", image_size)
    test = read_image_folder(root / "test", image_size)
    check_parts(root, train.classes, test.classes, train.images.shape[1:], test.images.shape[1:])
    return Parts(train.images, train.labels, test.images, test.labels, train.classes)


def check_parts(
    root: Path, train: tuple[str, ...], test: tuple[str, ...], train_shape: tuple[int, ...], test_shape: tuple[int, ...]
) -> None:
    """Check that the classes below train and test, and the shapes (C, H, W) of their images, are the same.

    Raises:
        ValueError: they are not.
    """
    if train != test:
        odd = sorted(set(train) ^ set(test))
        raise ValueError(f"imagefolder: {root}/train and {root}/test hold different classes: {', '.join(odd)}")
    if train_shape != test_shape:
        raise ValueError(
            f"imagefolder: training images are {train_shape}, test images {test_shape}; give image_size=<pixels>"
        )
