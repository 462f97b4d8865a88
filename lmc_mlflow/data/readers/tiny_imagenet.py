"""Reads Tiny ImageNet as its archive unpacks."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lmc_mlflow.data.arrays import Parts
from lmc_mlflow.data.readers.pictures import read_picture

FOLDER = "tiny-imagenet-200"
Labelled = list[tuple[Path, int]]


def read_tiny_imagenet(data_root: Path) -> Parts:
    """Read the training images, and the validation images as the test part (the test images have no labels).

    Classes are in the order of their WordNet ids; grey images become colour.

    Args:
        data_root: the folder that holds `tiny-imagenet-200`, or that folder itself.

    Raises:
        ValueError: a file that is missing or damaged, an annotation that does not fit the images, or
            images of several sizes.
    """
    root = _find(data_root)
    ids = sorted({line.strip() for line in _lines(root / "wnids.txt")})
    classes = _class_names(root / "words.txt", ids)
    train = [(path, label) for label, wnid in enumerate(ids) for path in _jpegs(root / "train" / wnid / "images")]
    test = _annotated(root / "val", ids)
    shape = _in_colour(train[0][0]).shape
    train_images = _read_all(train, shape, "training")
    test_images = _read_all(test, shape, "validation")
    return Parts(train_images, _labels(train), test_images, _labels(test), classes)


def _find(data_root: Path) -> Path:
    folders = (data_root / FOLDER, data_root)
    try:
        for folder in folders:
            if (folder / "wnids.txt").is_file():
                return folder
    except PermissionError as error:
        raise ValueError(f"tiny_imagenet: {error.filename} cannot be read: permission denied") from None
    raise ValueError(
        f"tiny_imagenet: neither {folders[0]} nor {folders[1]} holds wnids.txt; unpack tiny-imagenet-200.zip below "
        "data_root"
    )


def _class_names(words: Path, ids: Sequence[str]) -> tuple[str, ...]:
    """Name each class by the first of its words in words.txt, with the id where two classes share it."""
    synonyms = dict(line.split("\t", 1) for line in _lines(words) if "\t" in line)
    for wnid in ids:
        if wnid not in synonyms:
            raise ValueError(f"tiny_imagenet: {words} has no words for {wnid} of wnids.txt; unpack the archive again")
    names = [synonyms[wnid].split(",")[0].strip() for wnid in ids]
    count = Counter(names)
    return tuple(f"{name} ({wnid})" if count[name] > 1 else name for name, wnid in zip(names, ids, strict=True))


def _annotated(folder: Path, ids: Sequence[str]) -> Labelled:
    """List the validation images in the order of val_annotations.txt: file, id, and a box that is not needed."""
    annotations = folder / "val_annotations.txt"
    index = {wnid: label for label, wnid in enumerate(ids)}
    found = {}
    for number, line in enumerate(_lines(annotations), start=1):
        name, wnid, *_ = [*line.split("\t"), ""]
        if wnid not in index:
            raise ValueError(
                f"tiny_imagenet: {annotations}, line {number}: {wnid!r} is no id of wnids.txt; unpack the archive again"
            )
        found[folder / "images" / name] = index[wnid]
    odd = sorted(set(found) ^ set(_jpegs(folder / "images")))
    if odd:
        lacks = "an annotation without its image" if odd[0] in found else "an image without annotation"
        raise ValueError(f"tiny_imagenet: {odd[0]} is {lacks} ({len(odd)} such); unpack the archive again")
    return list(found.items())


def _jpegs(folder: Path) -> list[Path]:
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".JPEG")
    except (FileNotFoundError, NotADirectoryError):
        files = []
    except PermissionError:
        raise ValueError(f"tiny_imagenet: {folder} cannot be read: permission denied") from None
    if not files:
        raise ValueError(f"tiny_imagenet: {folder} holds no .JPEG files; unpack the archive again")
    return files


def _lines(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8").rstrip().splitlines()
    except FileNotFoundError:
        raise ValueError(f"tiny_imagenet: {file} is missing; unpack the archive again") from None
    except PermissionError:
        raise ValueError(f"tiny_imagenet: {file} cannot be read: permission denied") from None
    except UnicodeDecodeError:
        lines = []
    if not lines:
        raise ValueError(f"tiny_imagenet: {file} is empty or damaged; unpack the archive again")
    return lines


def _in_colour(path: Path) -> NDArray[np.uint8]:
    image = read_picture(path, None, "tiny_imagenet")
    return np.repeat(image, 3, axis=0) if len(image) == 1 else image


def _read_all(files: Labelled, shape: tuple[int, ...], what: str) -> NDArray[np.uint8]:
    images = np.empty((len(files), *shape), dtype=np.uint8)  # 1.2 GB of training images: a list would need it twice
    with ThreadPoolExecutor() as pool:
        read = pool.map(_in_colour, (path for path, _ in files))
        progress = tqdm(read, total=len(files), desc=f"reading {what} images", unit="img", leave=False, disable=None)
        for i, image in enumerate(progress):
            if image.shape != shape:
                raise ValueError(
                    f"tiny_imagenet: {files[i][0]} is {image.shape[1:]}, not {shape[1:]} as the first; replace it"
                )
            images[i] = image
    return images


def _labels(files: Labelled) -> NDArray[np.int64]:
    return np.array([label for _, label in files], dtype=np.int64)
