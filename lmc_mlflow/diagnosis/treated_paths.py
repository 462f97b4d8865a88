"""Measures the path between two networks under remedies, every sample kept, and its barriers with resamples."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lmc_mlflow.diagnosis.remedies import CALIBRATE, RECALIBRATE, Chosen, Treatable, scratch
from lmc_mlflow.diagnosis.subject import Split
from lmc_mlflow.evaluation import predict
from lmc_mlflow.paths.barriers import Values, summarize_rows
from lmc_mlflow.paths.curves import Curve
from lmc_mlflow.paths.intervals import Bootstrap, resampled_curves
from lmc_mlflow.paths.points import point_loader
from lmc_mlflow.paths.samples import PathSamples
from lmc_mlflow.precision import products
from lmc_mlflow.predictions.scores import check_outputs, sample_losses
from lmc_mlflow.predictions.temperature import best_temperature

NONE: Chosen = frozenset()
TEST, TRAINING = "test", "training"
"""Splits: the test images, and a sample of both sides' training images together."""
BARRIER, IN_BASIN, ERROR = "barrier", "barrier_in_basin", "error_barrier"
"""What may be explained: fields of `PathSummary`."""


@dataclass(frozen=True)
class Samples:
    """Every sample of one split at every alpha, as the networks are and at the best temperature of each alpha.

    Attributes:
        plain: as they are.
        calibrated: the same predictions with the losses at the best temperatures; `plain` with several labels an image.
        temperatures: (T,) the best ones; nan with several labels.
    """

    plain: PathSamples
    calibrated: PathSamples
    temperatures: Values

    def under(self, chosen: Chosen) -> PathSamples:
        """Choose by whether the remedies calibrate."""
        return self.calibrated if CALIBRATE in chosen else self.plain


@products("float32")
@torch.no_grad()
def sample_path(treatable: Treatable, curve: Curve, alphas: Values, split: Split, bn: str = "interpolate") -> Samples:
    """Measure every sample of a split at points of a curve.

    Args:
        treatable: the networks, for their architecture and their images.
        curve: from A to B.
        alphas: (T,) from 0 to 1.
        split: images and labels.
        bn: a row of `points.BN_POLICIES`.
    """
    images, labels = split
    subject = treatable.subject
    load = point_loader(scratch(subject.network), curve, bn, subject.calibration)
    truth = labels.cpu()
    points = []
    for alpha in alphas:
        outputs = predict(load(float(alpha)), images)
        check_outputs(outputs[:1], truth)
        points.append(losses_of(outputs, truth))
    plain, calibrated = (np.stack([getattr(point, name) for point in points]) for name in ("plain", "calibrated"))
    classes = [point.predicted for point in points if point.predicted is not None]
    known = (np.stack(classes), truth.numpy().astype(np.uint32)) if classes else ()
    temperatures = np.array([point.temperature for point in points])
    return Samples(PathSamples(plain, *known), PathSamples(calibrated, *known), temperatures)


@dataclass(frozen=True)
class PointLosses:
    """Every sample of one network: losses (N,), those at the best temperature, the temperature, chosen classes (N,)."""

    plain: NDArray[np.float32]
    calibrated: NDArray[np.float32]
    temperature: float
    predicted: NDArray[np.uint32] | None


def losses_of(outputs: Tensor, labels: Tensor) -> PointLosses:
    """Compute the loss of every sample, and at the best temperature, which several labels an image do not have.

    Args:
        outputs: (N, K) on the CPU, as the labels want them.
        labels: (N,) classes or (N, K) zeros and ones, on the CPU.
    """
    plain = sample_losses(outputs, labels).float().numpy()
    if labels.ndim != 1:
        return PointLosses(plain, plain, float("nan"), None)
    found = best_temperature(outputs, labels)
    scaled = torch.log_softmax(outputs / found.temperature, dim=1) if np.isfinite(found.loss) else outputs
    predicted = outputs.argmax(dim=1).numpy().astype(np.uint32)
    return PointLosses(plain, sample_losses(scaled, labels).float().numpy(), found.temperature, predicted)


@dataclass
class TreatedPaths:
    """Paths between two networks under sets of remedies, each measured once.

    Attributes:
        treatable: the networks.
        alphas: (T,) at which all are measured.
        bootstrap: the resamples of the images, the same for every path.
    """

    treatable: Treatable
    alphas: Values
    bootstrap: Bootstrap
    _found: dict[tuple[Chosen, str], Samples] = field(default_factory=dict)
    num_measured: int = 0

    def samples(self, chosen: Chosen = NONE, split: str = TEST) -> Samples:
        """Measure the path under remedies on `test`, or on `training`: the samples of both sides together."""
        key = chosen - {CALIBRATE}, split
        if key not in self._found:
            bn = "recalibrate" if RECALIBRATE in chosen else "interpolate"
            parts = [self.treatable.subject.test] if split == TEST else self.treatable.subject.own_training
            measured = [
                sample_path(self.treatable, self.treatable.segment(chosen), self.alphas, part, bn) for part in parts
            ]
            self._found[key] = measured[0] if len(measured) == 1 else _join(measured)
            self.num_measured += 1
        return self._found[key]

    def rows(self, chosen: Chosen = NONE, split: str = TEST) -> dict[str, Values]:
        """Compute the barriers and deltas (1 + R,) under remedies: on all images, then on every resample."""
        return rows_of(self.alphas, self.samples(chosen, split).under(chosen), self.bootstrap, split)


def rows_of(alphas: Values, samples: PathSamples, bootstrap: Bootstrap, split: str) -> dict[str, Values]:
    """Compute field of `PathSummary` -> (1 + R,): on all images, then on every resample."""
    losses, accuracies = resampled_curves(samples, bootstrap, split)
    return summarize_rows(alphas, losses, accuracies, accuracies)


def interval(values: Values, confidence: float) -> tuple[float, float]:
    """Give the ends of the interval of a number from (1 + R,): percentiles of its resamples; nan without any."""
    resampled = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or not len(resampled):
        return np.nan, np.nan
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _join(parts: Sequence[Samples]) -> Samples:
    """Put the samples of several splits together."""

    def joined(own: Sequence[PathSamples]) -> PathSamples:
        losses = np.concatenate([part.losses for part in own], axis=1)
        if own[0].predicted is None:
            return PathSamples(losses)
        predicted = np.concatenate([part.predicted for part in own if part.predicted is not None], axis=1)
        return PathSamples(losses, predicted, np.concatenate([part.labels for part in own if part.labels is not None]))

    plain, calibrated = (joined([getattr(part, name) for part in parts]) for name in ("plain", "calibrated"))
    return Samples(plain, calibrated, np.mean([part.temperatures for part in parts], axis=0))
