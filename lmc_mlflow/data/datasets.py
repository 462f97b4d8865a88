"""The table of data sets, and how a row of it is read."""

# Nothing here imports torch, so that flags and grids can be checked against the table at once.

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.config.choices import lookup
from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.config.options import write_value
from lmc_mlflow.data.arrays import Parts
from lmc_mlflow.data.holdout import random80
from lmc_mlflow.data.image_shape import check_channels, shape_images
from lmc_mlflow.data.pixels import ArraySource, BandSource, Source
from lmc_mlflow.data.readers.bigearthnet.classes import CLASSES
from lmc_mlflow.data.readers.bigearthnet.splits import train_test
from lmc_mlflow.data.readers.bigearthnet.store import open_store
from lmc_mlflow.data.readers.csv_table import read_table
from lmc_mlflow.data.readers.digits import read_digits
from lmc_mlflow.data.readers.downloads import (
    load_cifar10,
    load_cifar100,
    load_fashion_mnist,
    load_mnist,
)
from lmc_mlflow.data.readers.imagefolder import read_image_folders
from lmc_mlflow.data.readers.moons import read_moons
from lmc_mlflow.data.readers.npz import read_npz
from lmc_mlflow.data.readers.own_data import read_own
from lmc_mlflow.data.readers.picture_store.source import PictureSource
from lmc_mlflow.data.readers.picture_store.store import find_pictures
from lmc_mlflow.data.readers.tiny_imagenet import read_tiny_imagenet
from lmc_mlflow.own_code import FORM, is_own, plugins


@dataclass(frozen=True)
class Dataset:
    """Training and test images as they are stored, before any shift.

    Labels: (N,) int64 classes 0..K-1, or (N, K) uint8 zeros and ones where an image may have several.
    """

    train: Source
    train_labels: NDArray[Any]
    test: Source
    test_labels: NDArray[Any]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class DatasetRow:
    """One row of the table of data sets: how it is read, and the facts about it.

    Attributes:
        meaning: for the help text and the README.
        read: from a configuration to images and labels in memory, or to a prepared store on disk.
        flips: whether random horizontal flips are the usual augmentation of these images.
        takes: options of the data section that only some data sets have a use for.
        usual_split: what `test_split=auto` means.
        in_bands: whether the images are bands of which a shift chooses; all other shifts are refused.
        keeps_shape: why its images are neither resized nor repeated in channels; empty: they are, if asked for.
        made_by: function that makes the images where no folder is read; empty: they are read from `data_root`.
    """

    meaning: str
    read: Callable[[DataConfig], "Parts | Dataset"]
    flips: bool = False
    takes: tuple[str, ...] = ()
    usual_split: str = "official"
    in_bands: bool = False
    keeps_shape: str = ""
    made_by: str = ""


def load_dataset(config: DataConfig) -> Dataset:
    """Read the data set of a configuration.

    Raises:
        ValueError: unknown name, an option that is not this data set's, or files that are missing or damaged;
            the message says where they were looked for.
    """
    row = dataset_row(config.dataset)
    for name, default in OPTIONAL.items():
        if getattr(config, name) != default and name not in row.takes:
            users = ", ".join(key for key, other in DATASETS.items() if name in other.takes)
            raise ValueError(f"{name} belongs to dataset={users}, not {config.dataset}; leave it at {default}")
    for name, default in {"image_size": None, "channels": "auto"}.items():
        value = getattr(config, name)
        if row.keeps_shape and value != default:
            raise ValueError(f"{name}={value}: {config.dataset} {row.keeps_shape}; leave {name} at auto")
    found = row.read(config)
    if isinstance(found, Dataset):
        return found
    if config.test_split == "random80" and "test_split" not in row.takes:
        found = _split_again(found, config.split_seed)
    found = shape_images(found, config)
    train, test = ArraySource(found.train_images), ArraySource(found.test_images)
    return Dataset(train, found.train_labels, test, found.test_labels, found.classes)


def _split_again(parts: Parts, split_seed: int) -> Parts:
    """Pool all images, and draw four fifths of them for training."""
    images = np.concatenate([parts.train_images, parts.test_images])
    labels = np.concatenate([parts.train_labels, parts.test_labels])
    train, test = random80(len(labels), split_seed)
    return Parts(images[train], labels[train], images[test], labels[test], parts.classes)


def _read_csv(config: DataConfig) -> Parts:
    return read_table(
        Path(config.data_root), config.image_size, config.test_split, config.validation, config.split_seed
    )


def _open_bigearthnet(config: DataConfig) -> Dataset:
    store = open_store(Path(config.data_root))
    split = DATASETS["bigearthnet"].usual_split if config.test_split == "auto" else config.test_split
    train, test = train_test(store, split, config.validation, config.split_seed)
    return Dataset(BandSource(store, train), store.labels[train], BandSource(store, test), store.labels[test], CLASSES)


def _read_image_folder(config: DataConfig) -> Parts | Dataset:
    """Open the store of the pictures, if there is one; otherwise read them."""
    root = Path(config.data_root)
    store = find_pictures(root)
    if store is None:
        return read_image_folders(root, config.image_size)
    record = store.record
    if config.image_size != record.image_size:
        raise ValueError(
            f"image_size={write_value(config.image_size)}: the store in {store.root} was prepared with image_size="
            f"{write_value(record.image_size)}; give that, or prepare another store"
        )
    if config.channels != "auto":
        check_channels(config, record.shape[0])
    channels = record.shape[0] if config.channels == "auto" else int(config.channels)
    train, test = np.split(np.arange(record.num_pictures), [record.parts["train"].num_pictures])
    labels = np.concatenate([store.labels["train"], store.labels["test"]])
    if config.test_split == "random80":
        train, test = random80(len(labels), config.split_seed)
    source = PictureSource(store, np.arange(len(labels)), channels)
    return Dataset(source.rows(train), labels[train], source.rows(test), labels[test], record.classes)


def dataset_row(name: str) -> DatasetRow:
    """Look up the row of a data set; all of users' own functions are of one.

    Raises:
        ValueError: unknown name; lists those there are.
    """
    if name not in DATASETS and is_own("dataset", name):
        return replace(DATASETS[FORM], made_by=name)
    return lookup({**DATASETS, **dict.fromkeys(plugins("dataset"), DATASETS[FORM])}, name, "dataset")


def flips_images(config: DataConfig) -> bool:
    """Tell whether training images are flipped at random."""
    if config.augmentation == "auto":
        return dataset_row(config.dataset).flips
    return config.augmentation.startswith("flip")


OPTIONAL: Mapping[str, Any] = {"validation": "unused"}
DATASETS: Mapping[str, DatasetRow] = {
    "digits": DatasetRow(
        "scikit-learn's 1,797 real handwritten digits, brought to 28 x 28; needs no files",
        lambda _: read_digits(),
        made_by="sklearn.datasets.load_digits",
    ),
    "mnist": DatasetRow("60,000 + 10,000 handwritten digits of 28 x 28; downloaded on first use", load_mnist),
    "cifar10": DatasetRow(
        "50,000 + 10,000 colour photographs of 32 x 32; downloaded on first use; flips", load_cifar10, flips=True
    ),
    "fashion_mnist": DatasetRow("60,000 + 10,000 articles of clothing of 28 x 28; downloaded", load_fashion_mnist),
    "cifar100": DatasetRow("50,000 + 10,000 photographs of 100 classes; downloaded; flips", load_cifar100, flips=True),
    "tiny_imagenet": DatasetRow(
        "100,000 + 10,000 photographs of 64 x 64 in 200 classes, as tiny-imagenet-200 unpacks; flips",
        lambda config: read_tiny_imagenet(Path(config.data_root)),
        flips=True,
    ),
    "bigearthnet": DatasetRow(
        "480,038 Sentinel-2 patches of 120 x 120 with several of 19 labels each; made ready by prepare_data",
        _open_bigearthnet,
        takes=("test_split", "validation"),
        usual_split="random80",
        in_bands=True,
        keeps_shape="is read from its store as it was prepared",
    ),
    "moons": DatasetRow(
        "two interleaved half circles of points in the plane; needs no files",
        lambda _: read_moons(),
        keeps_shape="holds points, not pictures",
        made_by="sklearn.datasets.make_moons",
    ),
    "npz": DatasetRow(
        "your own images, or one of MedMNIST: an .npz file",
        lambda config: read_npz(Path(config.data_root), config.validation),
        takes=("validation",),
    ),
    "csv": DatasetRow(
        "your own images: data_root with labels.csv (file, label or labels, split)",
        _read_csv,
        takes=("test_split", "validation"),
    ),
    "imagefolder": DatasetRow(
        "your own images: data_root with train/<class>/ and test/<class>/, or a store that prepare_data made of them",
        _read_image_folder,
    ),
    FORM: DatasetRow(
        "your own: load(data_root) returns train, test: arrays, torch Datasets, or rows of image and label",
        lambda config: read_own(config.dataset, config.data_root, config.image_size),
    ),
}
