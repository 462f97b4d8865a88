"""How does a data configuration become sides A and B and the test set, as tensors on the training device?"""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lmc_mlflow.config.sections import DataConfig
from lmc_mlflow.data.datasets import Dataset, content_digest, load_dataset
from lmc_mlflow.data.shifts import Indices, Sides, split_sides

SIDES = ("A", "B")


@dataclass(frozen=True)
class LabelledImages:
    """Scaled images (N, C, H, W) float32 and labels (N,) int64 on one device, and where they came from."""

    images: Tensor
    labels: Tensor
    digest: str

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ShiftedData:
    """A data set under a shift: what both sides train on and are tested on."""

    a: LabelledImages
    b: LabelledImages
    test: LabelledImages
    sides: Sides
    classes: tuple[str, ...]
    flips: bool
    digest: str
    """Of the whole data set, training and test, before any split or scaling."""

    def side(self, name: str) -> LabelledImages:
        """Side `A` or `B`."""
        return {"A": self.a, "B": self.b}[name]


def load_shifted(config: DataConfig, device: torch.device, sides: Sides | None = None) -> ShiftedData:
    """Load, split, scale and move the data of a configuration.

    Args:
        config: what to load.
        device: where the tensors go.
        sides: the split to use instead of making it anew (a logged `split.npz`).

    Raises:
        ValueError: whatever is wrong with the data set, the shift or the split.
    """
    dataset = load_dataset(config)
    num_train = len(dataset.train_labels)
    if sides is None:
        sides = split_sides(config.shift, dataset.train_labels, len(dataset.classes), config.split_seed)
    elif max(sides.a.max(), sides.b.max()) >= num_train:
        raise ValueError(
            f"split: names sample {max(sides.a.max(), sides.b.max())}, {config.dataset} has {num_train}; "
            "it is another data set"
        )
    train_digest = content_digest(dataset.train_images, dataset.train_labels)
    test_digest = content_digest(dataset.test_images, dataset.test_labels)
    scale = Scaling.of(config.normalization, dataset.train_images)

    def part(chosen: Indices) -> LabelledImages:
        images, labels = dataset.train_images[chosen], dataset.train_labels[chosen]
        return _on_device(images, labels, scale, device, subset_digest(train_digest, chosen))

    side_a = part(sides.a)
    return ShiftedData(
        a=side_a,
        b=side_a if sides.b is sides.a else part(sides.b),
        test=_on_device(dataset.test_images, dataset.test_labels, scale, device, test_digest),
        sides=sides,
        classes=dataset.classes,
        flips=_flips(config, dataset),
        digest=hashlib.sha256(f"{train_digest}{test_digest}".encode()).hexdigest()[:32],
    )


def subset_digest(train_digest: str, chosen: Indices) -> str:
    """Digest of a subset: of the training set's digest and the indices, in order."""
    return hashlib.sha256(train_digest.encode() + np.ascontiguousarray(chosen).tobytes()).hexdigest()[:32]


@dataclass(frozen=True)
class Scaling:
    """Per-channel (x / 255 - mean) / deviation."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @staticmethod
    def of(normalization: str, train_images: NDArray[np.uint8]) -> "Scaling":
        """The constants of `centered` (from all training images), `half` or `unit`."""
        channels = train_images.shape[1]
        if normalization == "unit":
            return Scaling((0.0,) * channels, (1.0,) * channels)
        if normalization == "half":
            return Scaling((0.5,) * channels, (0.5,) * channels)
        means, deviations = [], []
        values = np.arange(256) / 255
        for c in range(channels):  # exact, from the histogram of the bytes
            counts = np.bincount(train_images[:, c].reshape(-1), minlength=256)
            mean = float(counts @ values / counts.sum())
            means.append(mean)
            deviation = float(np.sqrt(counts @ (values - mean) ** 2 / counts.sum()))
            deviations.append(deviation if deviation > 0 else 1.0)  # a constant channel becomes 0
        return Scaling(tuple(means), tuple(deviations))

    def apply(self, images: Tensor) -> Tensor:
        """Bytes (N, C, H, W) -> float32, in the operations of torchvision's ToTensor and Normalize."""
        out = images.float().div_(255)
        if self == Scaling((0.0,) * len(self.mean), (1.0,) * len(self.mean)):
            return out
        mean = torch.tensor(self.mean, device=out.device)[:, None, None]
        deviation = torch.tensor(self.deviation, device=out.device)[:, None, None]
        return out.sub_(mean).div_(deviation)


def _on_device(
    images: NDArray[np.uint8], labels: NDArray[np.int64], scale: Scaling, device: torch.device, digest: str
) -> LabelledImages:
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    return LabelledImages(scale.apply(pixels), torch.from_numpy(labels).to(device), digest)


def _flips(config: DataConfig, dataset: Dataset) -> bool:
    return dataset.flips if config.augmentation == "auto" else config.augmentation == "flip"
