"""Reads the data sets of torchvision, and downloads them if they are not there yet."""

from collections.abc import Callable
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.data.arrays import Parts
from lmc_mlflow.errors import first_line

if TYPE_CHECKING:
    from torch import Tensor


def _load_grey(config: DataConfig, maker: Any) -> Parts:
    """Read a torchvision data set in the IDX files of MNIST."""
    train, test = (_torchvision(maker, config, train) for train in (True, False))
    images = [_pixels(part.data)[:, None] for part in (train, test)]
    classes = tuple(name.split(" - ")[0] for name in maker.classes)  # MNIST calls its digits "0 - zero"
    return Parts(images[0], _labels(train.targets), images[1], _labels(test.targets), classes)


def load_mnist(config: DataConfig) -> Parts:
    """Read MNIST's IDX files below data_root."""
    from torchvision.datasets import MNIST

    return _load_grey(config, MNIST)


def load_fashion_mnist(config: DataConfig) -> Parts:
    """Read Fashion-MNIST's IDX files below data_root."""
    from torchvision.datasets import FashionMNIST

    return _load_grey(config, FashionMNIST)


def _load_photographs(config: DataConfig, maker: Any) -> Parts:
    """Read the pickled batches of CIFAR, which torchvision checks against their known md5 before it opens them."""
    train, test = (_torchvision(maker, config, train) for train in (True, False))
    images = [np.ascontiguousarray(part.data.transpose(0, 3, 1, 2)) for part in (train, test)]
    return Parts(images[0], _labels(train.targets), images[1], _labels(test.targets), tuple(train.classes))


def load_cifar10(config: DataConfig) -> Parts:
    """Read CIFAR-10's pickled batches below data_root."""
    from torchvision.datasets import CIFAR10

    return _load_photographs(config, CIFAR10)


def load_cifar100(config: DataConfig) -> Parts:
    """Read CIFAR-100's pickled batches below data_root."""
    from torchvision.datasets import CIFAR100

    return _load_photographs(config, CIFAR100)


def _torchvision(maker: Callable[..., Any], config: DataConfig, train: bool) -> Any:
    """Open a torchvision data set in data_root, and download it there if it is missing."""
    name, root = config.dataset, config.data_root
    try:
        return maker(root, train=train, download=True)
    except (URLError, RuntimeError, OSError) as error:
        if isinstance(error, PermissionError):
            raise ValueError(f"{name}: no permission for {error.filename}; choose another data_root") from None
        reason = first_line(error)
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


def _pixels(images: "Tensor") -> NDArray[np.uint8]:
    return np.asarray(images.numpy(), dtype=np.uint8)


def _labels(labels: "Tensor | list[int]") -> NDArray[np.int64]:
    return np.asarray(labels, dtype=np.int64)
