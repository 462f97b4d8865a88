"""How does a name become images and labels in memory?"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lmc_mlflow.config.choices import lookup
from lmc_mlflow.config.sections import DataConfig
from lmc_mlflow.data.imagefolder import read_image_folder

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Dataset:
    """Images as bytes: (N, C, H, W) in 0..255; labels (N,) in 0..K-1."""

    train_images: Pixels
    train_labels: Labels
    test_images: Pixels
    test_labels: Labels
    classes: tuple[str, ...]
    flips: bool
    """Whether random horizontal flips are this data set's usual augmentation."""


@dataclass(frozen=True)
class DatasetRow:
    """One line of the table of data sets."""

    meaning: str
    load: Callable[[DataConfig], Dataset]


def load_dataset(config: DataConfig) -> Dataset:
    """The data set of a configuration.

    Raises:
        ValueError: unknown name, or files that are missing or damaged; says where they were looked for.
    """
    row = lookup(DATASETS, config.dataset, "dataset")
    if config.image_size is not None and config.dataset != "imagefolder":
        raise ValueError(f"image_size belongs to dataset=imagefolder, not {config.dataset}; leave it at auto")
    return row.load(config)


def content_digest(images: Pixels, labels: Labels) -> str:
    """Digest of shapes, pixels and labels, in 32 hex digits (MLflow's own reads a few images only)."""
    digest = hashlib.sha256(f"{images.shape} {labels.shape}".encode())
    digest.update(np.ascontiguousarray(images).data)
    digest.update(np.ascontiguousarray(labels).data)
    return digest.hexdigest()[:32]


def _load_digits(_config: DataConfig) -> Dataset:
    """1,797 handwritten digits of 8 x 8, brought to 28 x 28; every fifth of a class is for testing."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    small = torch.from_numpy(np.asarray(raw.images, dtype=np.float32))[:, None] * (255 / 16)
    large = functional.interpolate(small, size=(28, 28), mode="bilinear", align_corners=False)
    images = large.round().clamp(0, 255).to(torch.uint8).numpy()
    labels = np.asarray(raw.target, dtype=np.int64)
    held_out = np.zeros(len(labels), dtype=bool)
    for c in range(10):
        held_out[np.flatnonzero(labels == c)[4::5]] = True
    classes = tuple(str(c) for c in range(10))
    return Dataset(images[~held_out], labels[~held_out], images[held_out], labels[held_out], classes, flips=False)


def _load_grey(config: DataConfig, maker: Any) -> Dataset:
    """A torchvision data set in the IDX files of MNIST."""
    train, test = (_torchvision(maker, config, train) for train in (True, False))
    images = [_pixels(part.data)[:, None] for part in (train, test)]
    classes = tuple(name.split(" - ")[0] for name in maker.classes)  # MNIST calls its digits "0 - zero"
    return Dataset(images[0], _labels(train.targets), images[1], _labels(test.targets), classes, flips=False)


def _load_mnist(config: DataConfig) -> Dataset:
    from torchvision.datasets import MNIST

    return _load_grey(config, MNIST)


def _load_fashion_mnist(config: DataConfig) -> Dataset:
    from torchvision.datasets import FashionMNIST

    return _load_grey(config, FashionMNIST)


def _load_photographs(config: DataConfig, maker: Any) -> Dataset:
    """A torchvision data set in the pickled batches of CIFAR (checked against their known md5 before they are read)."""
    train, test = (_torchvision(maker, config, train) for train in (True, False))
    images = [np.ascontiguousarray(part.data.transpose(0, 3, 1, 2)) for part in (train, test)]
    return Dataset(
        images[0], _labels(train.targets), images[1], _labels(test.targets), tuple(train.classes), flips=True
    )


def _load_cifar10(config: DataConfig) -> Dataset:
    from torchvision.datasets import CIFAR10

    return _load_photographs(config, CIFAR10)


def _load_cifar100(config: DataConfig) -> Dataset:
    from torchvision.datasets import CIFAR100

    return _load_photographs(config, CIFAR100)


def _load_image_folder(config: DataConfig) -> Dataset:
    root = Path(config.data_root)
    train = read_image_folder(root / "train", config.image_size)
    test = read_image_folder(root / "test", config.image_size)
    if train.classes != test.classes:
        odd = sorted(set(train.classes) ^ set(test.classes))
        raise ValueError(f"imagefolder: {root}/train and {root}/test hold different classes: {', '.join(odd)}")
    if train.images.shape[1:] != test.images.shape[1:]:
        raise ValueError(
            f"imagefolder: training images are {train.images.shape[1:]}, test images "
            f"{test.images.shape[1:]}; give image_size=<pixels>"
        )
    return Dataset(train.images, train.labels, test.images, test.labels, train.classes, flips=False)


def _torchvision(maker: Callable[..., Any], config: DataConfig, train: bool) -> Any:
    """A torchvision data set from data_root as it is, downloaded there if it is not."""
    name, root = config.dataset, config.data_root
    try:
        return maker(root, train=train, download=True)
    except (URLError, RuntimeError, OSError) as error:
        if isinstance(error, PermissionError):
            raise ValueError(f"{name}: no permission for {error.filename}; choose another data_root") from None
        reason = str(error).strip().splitlines()[0]
        if isinstance(error, RuntimeError) and "download" not in reason.lower():  # read, but of the wrong size
            raise _damaged(config) from None
        raise ValueError(
            f"{name}: not whole under data_root={root!r} and not to be downloaded there ({reason}); put its files there"
        ) from None
    except (AssertionError, ValueError, TypeError, KeyError, EOFError, UnpicklingError):
        raise _damaged(config) from None


def _damaged(config: DataConfig) -> ValueError:
    where = f"{config.dataset}: a file under data_root={config.data_root!r}"
    return ValueError(f"{where} is damaged or cut short; delete it to have it downloaded again")


def _pixels(images: Tensor) -> Pixels:
    return np.asarray(images.numpy(), dtype=np.uint8)


def _labels(labels: "Tensor | list[int]") -> Labels:
    return np.asarray(labels, dtype=np.int64)


DATASETS: Mapping[str, DatasetRow] = {
    "digits": DatasetRow(
        "scikit-learn's 1,797 real handwritten digits, brought to 28 x 28; needs no files", _load_digits
    ),
    "mnist": DatasetRow("60,000 + 10,000 handwritten digits of 28 x 28; downloaded on first use", _load_mnist),
    "cifar10": DatasetRow(
        "50,000 + 10,000 colour photographs of 32 x 32; downloaded on first use; flips", _load_cifar10
    ),
    "fashion_mnist": DatasetRow("60,000 + 10,000 articles of clothing of 28 x 28; downloaded", _load_fashion_mnist),
    "cifar100": DatasetRow("50,000 + 10,000 photographs of 100 classes; downloaded; flips", _load_cifar100),
    "imagefolder": DatasetRow("your own images: data_root with train/<class>/ and test/<class>/", _load_image_folder),
}
