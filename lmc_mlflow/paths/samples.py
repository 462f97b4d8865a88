"""Keeps what a network at a point of a path does with every sample: its loss and the class it chooses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lmc_mlflow.paths.measures import Row, RowBuilder, Splits
from lmc_mlflow.predictions.scores import sample_losses
from lmc_mlflow.predictions.temperature import Calibrated, best_temperature

Classes = NDArray[np.unsignedinteger[Any]]
"""Class indices, in one byte if there are at most 256 classes."""


@dataclass(frozen=True)
class PointSamples:
    """Every sample of one split at one point: losses (N,), and predicted classes (N,) if labels are classes."""

    losses: NDArray[np.float32]
    predicted: Classes | None


@dataclass(frozen=True)
class PathSamples:
    """Every sample of one split at every point of a path.

    Attributes:
        losses: (T, N) nats.
        predicted: (T, N) classes; None with several labels an image.
        labels: (N,) classes; None with several labels an image.
    """

    losses: NDArray[np.float32]
    predicted: Classes | None = None
    labels: Classes | None = None

    @property
    def correct(self) -> NDArray[np.bool_] | None:
        """Whether each prediction (T, N) is right."""
        return None if self.predicted is None else self.predicted == self.labels


@dataclass(frozen=True)
class Kept:
    """What is kept of a point beside the numbers of every measure.

    Attributes:
        samples: the loss and the class of every sample.
        calibrated: the best softmax temperature and the loss at it; every output is kept until it is found.
    """

    samples: bool = False
    calibrated: bool = False

    def num_bytes(self, splits: Splits) -> int:
        """Count the memory that the outputs of one network take until its temperature is found."""
        if not self.calibrated:
            return 0
        return max(4 * len(labels) * (1 + int(labels.max())) for _, labels in splits.values())


@dataclass(frozen=True)
class Point:
    """What is measured at one point on one split: the numbers, and what else is asked for."""

    row: Row
    samples: PointSamples | None
    calibrated: Calibrated | None = None


class PointBuilder:
    """Collects what is measured of one network's outputs, batch by batch; reads nothing back before `point`."""

    def __init__(self, labels: Tensor, kept: Kept) -> None:
        """Start with nothing.

        Args:
            labels: of the split, for their kind.
            kept: what is kept beside the numbers.
        """
        self._rows = RowBuilder(labels)
        self._kept = kept
        self._outputs: list[tuple[Tensor, Tensor]] = []
        self._losses: list[Tensor] = []
        self._predicted: list[Tensor] = []
        self._num_classes = 0

    def add(self, outputs: Tensor, labels: Tensor) -> None:
        """Take in the outputs (n, K) and the labels of a batch."""
        self._rows.add(outputs, labels)
        if self._kept.calibrated:
            self._outputs.append((outputs, labels))
        if self._kept.samples:
            self._num_classes = outputs.shape[1]
            self._losses.append(sample_losses(outputs, labels).float())
            if labels.ndim == 1:
                self._predicted.append(outputs.argmax(dim=1).to(torch.int32))

    def point(self) -> Point:
        """Compute the numbers over all batches, and join the samples."""
        calibrated = None
        if self._outputs:
            outputs, labels = (torch.cat(columns) for columns in zip(*self._outputs, strict=True))
            calibrated = best_temperature(outputs, labels)
            self._outputs = []
        if not self._kept.samples:
            return Point(self._rows.row(), None, calibrated)
        predicted = _as_classes(torch.cat(self._predicted), self._num_classes) if self._predicted else None
        samples = PointSamples(torch.cat(self._losses).cpu().numpy(), predicted)
        return Point(self._rows.row(), samples, calibrated)


def join_points(points: Sequence[Point], labels: Tensor) -> PathSamples | None:
    """Join the samples of all points of a path on a split; None if they were not kept.

    Args:
        points: in the order of alpha.
        labels: of the split.
    """
    kept = [point.samples for point in points if point.samples is not None]
    if not kept:
        return None
    losses = np.stack([samples.losses for samples in kept])
    predicted = [samples.predicted for samples in kept if samples.predicted is not None]
    if not predicted:
        return PathSamples(losses)
    truth = labels.cpu().numpy().astype(predicted[0].dtype)
    return PathSamples(losses, np.stack(predicted), truth)


def to_arrays(alphas: NDArray[np.float64], samples: Mapping[str, PathSamples]) -> dict[str, NDArray[Any]]:
    """List the content of `samples.npz`: `alphas`, and of each split `<split>_losses`, `_predicted` and `_labels`."""
    arrays: dict[str, NDArray[Any]] = {"alphas": alphas}
    for split, own in samples.items():
        arrays |= {f"{split}_{name}": array for name, array in vars(own).items() if array is not None}
    return arrays


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.float64], dict[str, PathSamples]]:
    """Read back what `to_arrays` listed: alphas (T,), and split -> samples."""
    splits = [name.removesuffix("_losses") for name in arrays if name.endswith("_losses")]
    samples = {
        split: PathSamples(arrays[f"{split}_losses"], arrays.get(f"{split}_predicted"), arrays.get(f"{split}_labels"))
        for split in splits
    }
    return arrays["alphas"], samples


def _as_classes(classes: Tensor, num_classes: int) -> Classes:
    kind = np.uint8 if num_classes <= 2**8 else np.uint16 if num_classes <= 2**16 else np.uint32
    return classes.cpu().numpy().astype(kind)
