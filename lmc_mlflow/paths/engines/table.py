"""The table of path engines: measures the networks at some alphas one by one, or all in one pass."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import nn
from tqdm import tqdm

from lmc_mlflow.evaluation import labelled_outputs
from lmc_mlflow.paths.curves import Curve
from lmc_mlflow.paths.engines.folding import plan_folding
from lmc_mlflow.paths.engines.mlp import plan_mlp
from lmc_mlflow.paths.engines.one_pass import MEMORY_BUDGET, Plan, Planner, measure_together
from lmc_mlflow.paths.measures import Splits
from lmc_mlflow.paths.points import LoadPoint
from lmc_mlflow.paths.samples import Kept, Point, PointBuilder

PLANNERS: tuple[Planner, ...] = (plan_mlp, plan_folding)
Engine = Callable[
    [nn.Module, Curve, Sequence[float], LoadPoint, Splits, Kept],
    tuple[dict[str, list[Point]], str],
]
"""Gives split -> one point an alpha (with what the last argument asks for), and the row of `PATH_ENGINES`
that was used."""


def _exact(
    _scratch: nn.Module,
    _curve: Curve,
    alphas: Sequence[float],
    load_point: LoadPoint,
    splits: Splits,
    kept: Kept,
) -> tuple[dict[str, list[Point]], str]:
    """Measure each network by itself, in the batches of `evaluate`, which the endpoints went through too."""
    points: dict[str, list[Point]] = {split: [] for split in splits}
    for alpha in tqdm(alphas, desc="measuring the path", unit="alpha", leave=False, disable=None):
        network = load_point(alpha)
        for split, (images, labels) in splits.items():
            builder = PointBuilder(labels, kept)
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
    kept: Kept,
) -> tuple[dict[str, list[Point]], str]:
    """Measure all networks in one pass over the images, if the architecture and the curve allow it (`one_pass.py`)."""
    plan = _plan(scratch, curve, splits)
    if plan is None:
        return _exact(scratch, curve, alphas, load_point, splits, kept)
    return measure_together(plan, alphas, load_point, splits, MEMORY_BUDGET, kept), "fast"


PATH_ENGINES: Mapping[str, Engine] = {"fast": _fast, "exact": _exact}
"""Name -> engine; the choices of the flag `path_engine`."""


def _plan(scratch: nn.Module, curve: Curve, splits: Splits) -> Plan | None:
    """Find the first plan that takes the network and the curve."""
    for images, _ in splits.values():
        sample = next(images.batches(torch.arange(min(2, images.shape[0])), 2))
        plans: Iterator[Plan | None] = (planner(scratch, curve, sample) for planner in PLANNERS)
        return next((plan for plan in plans if plan is not None), None)
    return None
