"""The table of measures: numbers of a network's outputs on a split, taken at every point of a path."""

import functools
import importlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lmc_mlflow.batches import Images
from lmc_mlflow.own_code import plugins
from lmc_mlflow.paths.barriers import Values, barrier
from lmc_mlflow.predictions.calibration import weighted_ece
from lmc_mlflow.predictions.scores import (
    ACCURACY,
    AVERAGE_PRECISION,
    SCORE_NAMES,
    sample_losses,
    weighted_average_precision,
)

logger = logging.getLogger(__name__)
Splits = Mapping[str, tuple[Images, Tensor]]
"""Name of a split -> its images and labels."""
Row = Mapping[str, float]
"""What is measured at one point on one split: measure -> number."""
Part = tuple[Tensor, ...]
"""What a measure keeps of a batch, on the device of the outputs."""
CLASSES, SEVERAL_LABELS = "classes", "several labels"
"""Kinds of labels: class indices (N,), and zeros and ones (N, K)."""
NATS, FRACTION = "nats per sample", "fraction"
LOSS = "loss"
SUMMARIZED = (LOSS, *SCORE_NAMES)
"""Measures whose barriers `barriers.PathSummary` names."""


@dataclass(frozen=True)
class Measure:
    """One number of a network's outputs and the labels of a split.

    Attributes:
        words: what it is called on an axis.
        unit: `NATS` or `FRACTION`; a fraction is drawn in percent.
        kinds: the kinds of labels it is defined for.
        of_batch: outputs (n, K) and labels of a batch -> what is kept of it.
        of_split: what was kept of all batches, in order, and the number of samples -> the number.
        higher_is_better: whether a larger number is a better one.
        drawn: whether figures of paths show it.
    """

    words: str
    unit: str
    kinds: tuple[str, ...]
    of_batch: Callable[[Tensor, Tensor], Part]
    of_split: Callable[[list[Part], int], float]
    higher_is_better: bool = False
    drawn: bool = True

    @property
    def factor(self) -> int:
        """What a number is multiplied by where it is drawn."""
        return 100 if self.unit == FRACTION else 1

    @property
    def axis_label(self) -> str:
        """The name with the unit that is drawn, as in `accuracy (%)`."""
        return f"{self.words} ({'%' if self.unit == FRACTION else self.unit})"

    def barrier(self, values: Values) -> float:
        """Compute how much worse the worst point (T,) of a path is than the mean of both ends."""
        return barrier(-values if self.higher_is_better else values)


def _mean(parts: list[Part], num_samples: int) -> float:
    """Add up the batches' sums in their order, as `evaluate` does."""
    return float(functools.reduce(torch.add, [total for (total,) in parts]).item() / num_samples)


def _loss_sum(outputs: Tensor, labels: Tensor) -> Part:
    return (sample_losses(outputs, labels).double().sum(),)


def _num_correct(outputs: Tensor, labels: Tensor) -> Part:
    return ((outputs.argmax(dim=1) == labels).sum(),)


def _kept(outputs: Tensor, labels: Tensor) -> Part:
    """Keep everything, for what needs the ranks of all outputs."""
    return outputs.detach(), labels


def _average_precision(parts: list[Part], _num_samples: int) -> float:
    outputs, labels = (torch.cat(columns) for columns in zip(*parts, strict=True))
    return weighted_average_precision(outputs, labels)


def _confidence(outputs: Tensor, labels: Tensor) -> Part:
    confidence, guesses = outputs.max(dim=1)
    return confidence, guesses == labels


def _calibration_error(parts: list[Part], _num_samples: int) -> float:
    log_confidence, correct = (torch.cat(columns).cpu().numpy() for columns in zip(*parts, strict=True))
    if not np.isfinite(log_confidence).all():
        return float("nan")
    confidence = np.exp(log_confidence.astype(np.float64))
    return float(weighted_ece(confidence, correct, np.ones((1, len(correct))))[0])


def _of_plugins() -> dict[str, Measure]:
    """Load the measures of installed packages; one that cannot be loaded, or is none, is left out with a warning."""
    found = {}
    for name, plugin in plugins("measure").items():
        try:
            measure = getattr(importlib.import_module(plugin.target.partition(":")[0]), plugin.target.partition(":")[2])
        except Exception as error:  # noqa: BLE001 (it is somebody else's code, which may raise anything)
            logger.warning("measure %s of %s is left out: %s: %s", name, plugin.origin, type(error).__name__, error)
            continue
        if isinstance(measure, Measure):
            found[name] = measure
        else:
            logger.warning("measure %s of %s is left out: it is a %s", name, plugin.origin, type(measure).__name__)
    return found


def measures_beside() -> list[str]:
    """Name the measures of installed packages with package and version: they belong to the identity of a result."""
    return [f"measure.{name}={plugin.origin}" for name, plugin in plugins("measure").items() if name in MEASURES]


MEASURES: Mapping[str, Measure] = {
    **_of_plugins(),
    LOSS: Measure("loss", NATS, (CLASSES, SEVERAL_LABELS), _loss_sum, _mean),
    ACCURACY: Measure("accuracy", FRACTION, (CLASSES,), _num_correct, _mean, higher_is_better=True),
    AVERAGE_PRECISION: Measure(
        "average precision", FRACTION, (SEVERAL_LABELS,), _kept, _average_precision, higher_is_better=True
    ),
    "ece": Measure("expected calibration error", FRACTION, (CLASSES,), _confidence, _calibration_error),
}
"""Name -> measure, of installed packages too. A name is a column of `path.json`, `<split>/path_<name>` a curve."""


def measures_for(labels: Tensor) -> dict[str, Measure]:
    """Choose the rows of the table that are defined for labels of this kind."""
    kind = CLASSES if labels.ndim == 1 else SEVERAL_LABELS
    return {name: measure for name, measure in MEASURES.items() if kind in measure.kinds}


class RowBuilder:
    """Collects what all measures need of one network's outputs, batch by batch.

    Nothing is read back from the device before `row`.
    """

    def __init__(self, labels: Tensor) -> None:
        """Start with nothing.

        Args:
            labels: of the split, for their kind.
        """
        self._measures = measures_for(labels)
        self._parts: dict[str, list[Part]] = {name: [] for name in self._measures}
        self._num_samples = 0

    def add(self, outputs: Tensor, labels: Tensor) -> None:
        """Take in the outputs (n, K) and the labels of a batch."""
        for name, measure in self._measures.items():
            self._parts[name].append(measure.of_batch(outputs, labels))
        self._num_samples += len(labels)

    def row(self) -> Row:
        """Compute every measure over all batches."""
        return {
            name: measure.of_split(self._parts[name], self._num_samples) for name, measure in self._measures.items()
        }
