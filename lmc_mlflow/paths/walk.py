"""Measures the networks at points of a curve, alpha by alpha or all in one pass."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from lmc_mlflow import weights
from lmc_mlflow.batches import Images
from lmc_mlflow.config.choices import lookup
from lmc_mlflow.evaluation import check_state, labelled_outputs
from lmc_mlflow.models.parameters import trainable
from lmc_mlflow.paths.barriers import PathSummary, Values, summarize
from lmc_mlflow.paths.curves import Curve, distances_from_start
from lmc_mlflow.paths.engines.folding import plan_folding
from lmc_mlflow.paths.engines.mlp import plan_mlp
from lmc_mlflow.paths.engines.one_pass import MEMORY_BUDGET, Plan, Planner, measure_together
from lmc_mlflow.paths.grid import Grid, next_points
from lmc_mlflow.paths.measures import LOSS, MEASURES, Row, Splits
from lmc_mlflow.paths.points import LoadPoint, point_loader
from lmc_mlflow.paths.samples import PathSamples, Point, PointBuilder, join_points
from lmc_mlflow.paths.variance import VarianceRatio
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
    """

    alphas: Values
    values: Mapping[str, Mapping[str, Values]]
    angles_deg: Values
    manhattan: Values
    engine: str
    variance_ratio: float | None = None
    samples: Mapping[str, PathSamples] | None = None

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
    weights.check_compatible(*curve.ends)
    measure = lookup(PATH_ENGINES, engine, "engine")
    scratch = copy.deepcopy(network).requires_grad_(False).eval()
    for images, labels in splits.values():
        check_state(scratch, curve.ends[0], images, labels)
    load, ratio = point_loader(scratch, curve, bn, calibration), VarianceRatio(splits)

    def load_and_record(alpha: float) -> nn.Module:
        ratio.record(load(alpha), alpha)
        return scratch

    grid = alphas if isinstance(alphas, Grid) else Grid(alphas)
    points: dict[float, dict[str, Point]] = {}
    new = grid.alphas
    while len(new):
        wanted = [float(alpha) for alpha in new]
        found, used = measure(scratch, curve, wanted, load_and_record, splits, grid.keep_samples)
        points |= {alpha: {split: found[split][i] for split in splits} for i, alpha in enumerate(wanted)}
        new = _further_points(grid, points)
    return _join(curve, trainable(network), points, splits, (used, ratio.of_last_layer()))


def _further_points(grid: Grid, points: Mapping[float, Mapping[str, Point]]) -> Values:
    """The points that the grid asks for after these, alpha -> split -> point."""
    if grid.tolerance is None:
        return np.empty(0)
    alphas = sorted(points)
    splits = next(iter(points.values()))
    losses = {split: np.array([points[alpha][split].row[LOSS] for alpha in alphas]) for split in splits}
    return next_points(np.array(alphas), losses, grid.tolerance)


def _join(
    curve: Curve,
    names: Sequence[str],
    points: Mapping[float, Mapping[str, Point]],
    splits: Splits,
    how: tuple[str, float | None],
) -> Path:
    """The path through these points, alpha -> split -> point, in the order of alpha; `how`: engine, variance ratio."""
    alphas = sorted(points)
    by_split = {split: [points[alpha][split] for alpha in alphas] for split in splits}
    angles, distances = distances_from_start(curve, names, np.array(alphas))
    values = {split: values_of(own) for split, own in by_split.items()}
    joined = {split: join_points(own, splits[split][1]) for split, own in by_split.items()}
    samples = {split: own for split, own in joined.items() if own is not None}
    return Path(np.array(alphas), values, angles, distances, *how, samples or None)


def values_of(points: Sequence[Point]) -> dict[str, Values]:
    """Turn points into measure -> (T,)."""
    rows: list[Row] = [point.row for point in points]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}


PLANNERS: tuple[Planner, ...] = (plan_mlp, plan_folding)
Engine = Callable[
    [nn.Module, Curve, Sequence[float], LoadPoint, Splits, bool],
    tuple[dict[str, list[Point]], str],
]
"""Gives split -> one point an alpha (with every sample, if the last argument says so), and the row of `PATH_ENGINES`
that was used."""


def _exact(
    _scratch: nn.Module,
    _curve: Curve,
    alphas: Sequence[float],
    load_point: LoadPoint,
    splits: Splits,
    keep_samples: bool,
) -> tuple[dict[str, list[Point]], str]:
    """Measure each network by itself, in the batches of `evaluate`, which the endpoints went through too."""
    points: dict[str, list[Point]] = {split: [] for split in splits}
    for alpha in tqdm(alphas, desc="measuring the path", unit="alpha", leave=False, disable=None):
        network = load_point(alpha)
        for split, (images, labels) in splits.items():
            builder = PointBuilder(labels, keep_samples)
            for outputs, truth in labelled_outputs(network, images, labels):
                builder.add(outputs, truth)
            points[split].append(builder.point())
    return points, "exact"


def _fast(
    scratch: nn.Module,
    curve: Curve,
    alphas: Sequence[float],
    load_point: LoadPoint,
    splits: Splits,
    keep_samples: bool,
) -> tuple[dict[str, list[Point]], str]:
    """Measure all networks in one pass over the images, if the architecture and the curve allow it (`one_pass.py`)."""
    plan = _plan(scratch, curve, splits)
    if plan is None:
        return _exact(scratch, curve, alphas, load_point, splits, keep_samples)
    return measure_together(plan, alphas, load_point, splits, MEMORY_BUDGET, keep_samples), "fast"


PATH_ENGINES: Mapping[str, Engine] = {"fast": _fast, "exact": _exact}
"""Name -> engine; the choices of the flag `path_engine`."""


def _plan(scratch: nn.Module, curve: Curve, splits: Splits) -> Plan | None:
    """Find the first plan that takes the network and the curve."""
    for images, _ in splits.values():
        sample = next(images.batches(torch.arange(min(2, images.shape[0])), 2))
        plans: Iterator[Plan | None] = (planner(scratch, curve, sample) for planner in PLANNERS)
        return next((plan for plan in plans if plan is not None), None)
    return None
