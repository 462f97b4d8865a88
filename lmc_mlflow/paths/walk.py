"""Measures the networks at points of a curve, alpha by alpha or all in one pass."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor, nn

from lmc_mlflow import weights
from lmc_mlflow.batches import Images
from lmc_mlflow.config.choices import lookup
from lmc_mlflow.evaluation import check_state
from lmc_mlflow.models.parameters import trainable
from lmc_mlflow.paths.barriers import PathSummary, Values, summarize
from lmc_mlflow.paths.calibrated import CalibratedPath, calibrated_path
from lmc_mlflow.paths.curves import Curve, distances_from_start
from lmc_mlflow.paths.engines.table import PATH_ENGINES
from lmc_mlflow.paths.grid import Grid, next_points
from lmc_mlflow.paths.measures import LOSS, MEASURES, Row, Splits
from lmc_mlflow.paths.points import point_loader
from lmc_mlflow.paths.samples import Kept, PathSamples, Point, join_points
from lmc_mlflow.paths.variance import Deviations, VarianceRatio, ratio_of_last_layer
from lmc_mlflow.precision import products
from lmc_mlflow.predictions.scores import ACCURACY, SCORE_NAMES


@dataclass(frozen=True)
class Path:
    """Measurements at points of a curve.

    Attributes:
        alphas: (T,) from 0 to 1.
        values: split -> measure -> (T,); measures are rows of `measures.MEASURES`.
        angles_deg: (T,) angle between the network at alpha and A, trainable parameters.
        manhattan: (T,) distance of the network at alpha from A.
        engine: the row of `PATH_ENGINES` that did it: `exact` too where there was no fast way for the network.
        variance_ratio: mean standard deviation of the last hidden layer's units at alpha 0.5 over the mean of both
            ends', on up to 1,000 images; None without hidden units or without these alphas.
        samples: split -> every sample at every alpha; None unless they were asked for.
        calibrated: split -> losses at the best softmax temperature of every alpha; None unless they were asked for.
    """

    alphas: Values
    values: Mapping[str, Mapping[str, Values]]
    angles_deg: Values
    manhattan: Values
    engine: str
    variance_ratio: float | None = None
    samples: Mapping[str, PathSamples] | None = None
    calibrated: Mapping[str, CalibratedPath] | None = None

    def __post_init__(self) -> None:
        """Put the measures into the order of their table, which what is read back may not have."""
        ordered = {split: {name: own[name] for name in MEASURES if name in own} for split, own in self.values.items()}
        object.__setattr__(self, "values", ordered)

    @property
    def losses(self) -> dict[str, Values]:
        """Split -> (T,), nats per sample."""
        return {split: own[LOSS] for split, own in self.values.items()}

    @property
    def score(self) -> str:
        """Which score there is, `accuracy` or `average_precision`."""
        return next((name for own in self.values.values() for name in SCORE_NAMES if name in own), ACCURACY)

    @property
    def scores(self) -> dict[str, Values]:
        """Split -> (T,), accuracies or average precisions, fractions."""
        return {split: own[self.score] for split, own in self.values.items()}

    @cached_property
    def summaries(self) -> dict[str, PathSummary]:
        """Split -> its barriers."""
        losses, scores = self.losses, self.scores
        return {
            split: summarize(self.alphas, losses[split], scores[split], scores.get("test", scores[split]))
            for split in self.values
        }


@products("float32")
def measure_path(
    network: nn.Module,
    curve: Curve,
    alphas: Values | Grid,
    splits: Splits,
    bn: str,
    calibration: Images | None = None,
    engine: str = "fast",
) -> Path:
    """Measure the networks at points of a curve; nothing that is passed in is changed.

    Args:
        network: gives the architecture and the device; its own weights do not matter.
        curve: from A (alpha 0) to B (alpha 1).
        alphas: (T,) from 0 to 1, or a grid, which may ask for further points and for every sample.
        splits: name -> images and labels.
        bn: how the statistics of units are set at a point: a row of `points.BN_POLICIES`.
        calibration: images of both training sides together, for the policies that need images.
        engine: a row of `PATH_ENGINES`. `fast` and `exact` agree to the rounding of float32, and to the last bit at
            the ends on the split `test`.

    Raises:
        ValueError: the states do not fit each other, the policy or the engine is unknown, or the outputs are no
            log-probabilities where the labels are class indices.
    """
    grid = alphas if isinstance(alphas, Grid) else Grid(alphas)
    measurer = PointMeasurer(network, curve, splits, bn, calibration, engine)
    labels = {split: own for split, (_, own) in splits.items()}
    return walk(
        grid,
        labels,
        lambda wanted: measurer.measure(wanted, Kept(grid.keep_samples, grid.calibrate)),
        lambda measured: distances_from_start(curve, trainable(network), measured),
    )


@dataclass(frozen=True)
class MeasuredPoints:
    """What was measured at some points of a curve.

    Attributes:
        points: alpha -> split -> point.
        engine: the row of `PATH_ENGINES` that did it.
        deviations: alpha -> layer -> mean deviation of its units, as `VarianceRatio` records it.
    """

    points: Mapping[float, Mapping[str, Point]]
    engine: str
    deviations: Deviations


class PointMeasurer:
    """Measures the networks at points of one curve; what is needed of its ends is computed once."""

    def __init__(
        self, network: nn.Module, curve: Curve, splits: Splits, bn: str, calibration: Images | None, engine: str
    ) -> None:
        """Check that everything fits; arguments and errors as in `measure_path`."""
        weights.check_compatible(*curve.ends)
        self._engine = lookup(PATH_ENGINES, engine, "engine")
        self._scratch = copy.deepcopy(network).requires_grad_(False).eval()
        self._curve = curve
        self._splits = splits
        for images, labels in splits.values():
            check_state(self._scratch, curve.ends[0], images, labels)
        self._load_point = point_loader(self._scratch, curve, bn, calibration)
        self._ratio = VarianceRatio(splits)

    @products("float32")
    def measure(self, alphas: Sequence[float], kept: Kept) -> MeasuredPoints:
        """Measure at these alphas, together as far as the engine can; `kept` is what a point has beside its numbers."""
        found, used = self._engine(self._scratch, self._curve, alphas, self._load, self._splits, kept)
        points = {alpha: {split: found[split][i] for split in self._splits} for i, alpha in enumerate(alphas)}
        return MeasuredPoints(points, used, dict(self._ratio.deviations))

    def _load(self, alpha: float) -> nn.Module:
        self._ratio.record(self._load_point(alpha), alpha)
        return self._scratch


def walk(
    grid: Grid,
    labels: Mapping[str, Tensor],
    measure: Callable[[Sequence[float]], MeasuredPoints],
    distances: Callable[[Values], tuple[Values, Values]],
) -> Path:
    """Measure the points of a grid and those that it asks for after them, wherever they are measured.

    Args:
        grid: the points.
        labels: split -> labels.
        measure: measures at some alphas.
        distances: gives angles and Manhattan distances (T,) of the points at alphas (T,), as `Path` has them.
    """
    points: dict[float, Mapping[str, Point]] = {}
    deviations: dict[float, Mapping[str, float]] = {}
    new = grid.alphas
    while len(new):
        found = measure([float(alpha) for alpha in new])
        points |= found.points
        deviations |= found.deviations
        new = _further_points(grid, points)
    ordered = np.array(sorted(points))
    by_split = {split: [points[alpha][split] for alpha in sorted(points)] for split in labels}
    values = {split: values_of(own) for split, own in by_split.items()}
    joined = {split: join_points(own, labels[split]) for split, own in by_split.items()}
    samples = {split: own for split, own in joined.items() if own is not None}
    calibrated = {
        split: calibrated_path(ordered, [point.calibrated for point in own if point.calibrated is not None])
        for split, own in by_split.items()
        if own[0].calibrated is not None
    }
    ratio = ratio_of_last_layer(deviations)
    return Path(ordered, values, *distances(ordered), found.engine, ratio, samples or None, calibrated or None)


def _further_points(grid: Grid, points: Mapping[float, Mapping[str, Point]]) -> Values:
    """The points that the grid asks for after these, alpha -> split -> point."""
    if grid.tolerance is None:
        return np.empty(0)
    alphas = sorted(points)
    splits = next(iter(points.values()))
    losses = {split: np.array([points[alpha][split].row[LOSS] for alpha in alphas]) for split in splits}
    return next_points(np.array(alphas), losses, grid.tolerance)


def values_of(points: Sequence[Point]) -> dict[str, Values]:
    """Turn points into measure -> (T,)."""
    rows: list[Row] = [point.row for point in points]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}
