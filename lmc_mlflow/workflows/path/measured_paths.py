"""Measures the paths of one run: its own, and the one beside it, by workers that each take some of the points."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch

from lmc_mlflow.alignment import Symmetry
from lmc_mlflow.config.path import ADAPTIVE, PathConfig
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.paths.grid import Grid, adaptive_grid
from lmc_mlflow.paths.walk import Path
from lmc_mlflow.workers.spread import Workers, in_order
from lmc_mlflow.workflows.alignment.find_alignment import Alignment
from lmc_mlflow.workflows.path.measurer import PathMeasurer, walk_with


@dataclass(frozen=True)
class Paths:
    """The paths of one run.

    Attributes:
        path: the run's own: to B, or to B with its units permuted, or a curve to B.
        alignment: how they were permuted, or None.
        unaligned: where they were, the path to B as it was logged.
        straight: of a curve, the segment between its ends.
    """

    path: Path
    alignment: Alignment | None = None
    unaligned: Path | None = None
    straight: Path | None = None


def measure_paths(
    workers: Workers[PathMeasurer],
    config: PathConfig,
    symmetry: Symmetry | None,
    labels: Mapping[str, torch.Tensor],
    on_curve: bool = False,
) -> Paths:
    """Measure the path, and what is measured beside it.

    With a symmetry these are the paths to B aligned and to B as it was logged, on a curve the curve and the segment.
    """
    walk_to = partial(walk_with, workers, grid_of(config), labels)
    if on_curve:
        return Paths(walk_to(None, on_curve=True), straight=walk_to(None))
    if symmetry is None:
        return Paths(walk_to(None))
    (alignment,) = in_order(workers.map(PathMeasurer.alignment, [symmetry]))
    return Paths(walk_to(alignment.network), alignment, walk_to(None))


def grid_of(config: PathConfig) -> Grid:
    """Make the points at which a path is measured."""
    if config.alphas == ADAPTIVE:
        return adaptive_grid(config.alpha_tolerance, keep_samples=True, calibrate=config.calibrate)
    return Grid(alpha_grid(config.num_alphas), keep_samples=True, calibrate=config.calibrate)
