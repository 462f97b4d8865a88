"""Reads images from folders, one folder for each class."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from lmc_mlflow.data.arrays import Parts
from lmc_mlflow.errors import first_line

GREY_MODES = ("1", "L")


@dataclass(frozen=True)
class FolderImages:
    """Images (N, C, H, W) in 0..255, labels (N,), class names in sorted order."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


def read_image_folder(root: Path, image_size: int | None) -> FolderImages:
    """Read every image below `root`/<class>/ that Pillow can read, in sorted order.

    Args:
        root: a folder of class folders.
        image_size: height and width to bring every image to (bilinear); None: they are of one size.

    Raises:
        ValueError: no such folder, no images, a file that is no image or is damaged, or images of
            several sizes or kinds where image_size is None.
    """
    from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

    if not root.is_dir():
        raise ValueError(f"imagefolder: {root} is no folder; data_root must hold train/<class>/ and test/<class>/")
    try:
        for _ in os.walk(root, onerror=_refuse, followlinks=True):  # torchvision skips what it may not read
            pass
        classes = tuple(sorted(entry.name for entry in root.iterdir() if entry.is_dir()))
        Image.init()
        known = tuple(sorted({*IMG_EXTENSIONS, *Image.registered_extensions()}))
        index = {name: i for i, name in enumerate(classes)}
        files = make_dataset(str(root), index, extensions=known) if classes else []
    except FileNotFoundError as error:  # torchvision: a class folder without images
        raise ValueError(f"imagefolder: {root}: {first_line(error)}") from None
    except PermissionError as error:
        raise ValueError(f"imagefolder: {error.filename} cannot be read: permission denied") from None
    if not files:
        raise ValueError(f"imagefolder: {root} holds no images; put them into {root}/<class>/")
    with ThreadPoolExecutor() as pool:
        read = pool.map(lambda item: read_image(Path(item[0]), image_size, "imagefolder"), files, chunksize=64)
        arrays = list(
            tqdm(read, total=len(files), desc=f"reading {root.name} images", unit="img", leave=False, disable=None)
        )
    if any(array.shape[0] != arrays[0].shape[0] for array in arrays):  # grey and colour mixed: all to colour
        arrays = [np.repeat(array, 3, axis=0) if array.shape[0] == 1 else array for array in arrays]
    for (path, _), array in zip(files, arrays, strict=True):
        if array.shape != arrays[0].shape:
            raise ValueError(
                f"imagefolder: {path} is {array.shape[1:]}, {files[0][0]} is {arrays[0].shape[1:]}; give "
                "image_size=<pixels>"
            )
    return FolderImages(np.stack(arrays), np.array([label for _, label in files], dtype=np.int64), classes)


def _refuse(error: OSError) -> None:
    raise error


def read_image(path: Path, image_size: int | None, dataset: str) -> NDArray[np.uint8]:
    """Read one image (C, H, W) of one or three channels.

    Args:
        path: a file of any format that Pillow reads.
        image_size: height and width to bring it to (bilinear); None: it keeps its own.
        dataset: whose image it is, for the error.

    Raises:
        ValueError: no image, a damaged one, or pixels of more than 8 bits.
    """
    try:
        with Image.open(path) as image:
            image.load()
            if image.mode.startswith(("I", "F")):  # Pillow would clip them at 255
                raise ValueError(f"its pixels, of mode {image.mode}, have more than 8 bits")
            plain = image.convert("L" if image.mode in GREY_MODES else "RGB")
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise ValueError(f"{dataset}: {path} cannot be read as an image ({error}); replace or remove it") from None
    if image_size is not None:
        plain = plain.resize((image_size, image_size), Image.Resampling.BILINEAR)
    array = np.asarray(plain, dtype=np.uint8)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def read_image_folders(root: Path, image_size: int | None) -> Parts:
    """Read the images below `root`/train/<class>/ and `root`/test/<class>/.

    Raises:
        ValueError: as `read_image_folder`, or the two hold other classes or image sizes.
    """
    train = read_image_folder(root / "train", image_size)
    test = read_image_folder(root / "test", image_size)
    if train.classes != test.classes:
        odd = sorted(set(train.classes) ^ set(test.classes))
        raise ValueError(f"imagefolder: {root}/train and {root}/test hold different classes: {', '.join(odd)}")
    if train.images.shape[1:] != test.images.shape[1:]:
        raise ValueError(
            f"imagefolder: training images are {train.images.shape[1:]}, test images "
            f"{test.images.shape[1:]}; give image_size=<pixels>"
        )
    return Parts(train.images, train.labels, test.images, test.labels, train.classes)
