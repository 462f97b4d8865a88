"""Measures parts of the path between two logged networks on one device: some of its points, or how B is aligned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from tqdm import tqdm

from lmc_mlflow.alignment import Symmetry
from lmc_mlflow.config.commands import InterpolateConfig
from lmc_mlflow.data.labelled import LabelledImages, move_all
from lmc_mlflow.models.parameters import trainable
from lmc_mlflow.paths.barriers import Values
from lmc_mlflow.paths.curves import CURVES, Curve, Segment, distances_from_start
from lmc_mlflow.paths.grid import Grid
from lmc_mlflow.paths.points import BN_POLICIES
from lmc_mlflow.paths.samples import Kept
from lmc_mlflow.paths.walk import MeasuredPoints, Path, PointMeasurer, walk
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.weights import State
from lmc_mlflow.workers.spread import Workers, in_order
from lmc_mlflow.workflows.alignment.find_alignment import Alignment, find_alignment
from lmc_mlflow.workflows.networks.pair_of_networks import Ends, both_training_sides
from lmc_mlflow.workflows.path.images import measured_splits

PARTS_OF_A_PLACE = 2
"""Parts of a path for each of several workers: few, because each reads all images; more than one, for a slow device."""


@dataclass(frozen=True)
class PathTask:
    """Points of a path.

    Attributes:
        aligned: B with its units permuted towards A; None: B as it was logged.
        alphas: (T,) of the points.
        kept: what is kept of every point beside its numbers.
        on_curve: whether the path goes through the bends.
    """

    aligned: LoggedNetwork | None
    alphas: tuple[float, ...]
    kept: Kept = field(default_factory=Kept)
    on_curve: bool = False


@dataclass(frozen=True)
class MeasuredEnds:
    """What a path is measured on, before it is on a device.

    Attributes:
        config: how.
        ends: A and B.
        symmetry: theirs; None: nothing is aligned.
        splits: name -> images that are measured on, or that alignment or batch norm needs.
        bends: of the curve, where the path is none that is straight.
    """

    config: InterpolateConfig
    ends: Ends
    symmetry: Symmetry | None
    splits: Mapping[str, LabelledImages]
    bends: tuple[State, ...] = ()

    def on(self, device: torch.device) -> "PathMeasurer":
        """Bring the data to a device."""
        return PathMeasurer(replace(self, splits=move_all(self.splits, device)), device)


class PathMeasurer:
    """Aligns B to A, and measures points of the path to B as it was logged and as it is aligned."""

    def __init__(self, measured: MeasuredEnds, device: torch.device) -> None:
        self._measured = measured
        self._device = device
        self._network = measured.ends[0].network().to(device)
        self._points: dict[tuple[bool, bool], PointMeasurer] = {}

    def alignment(self, symmetry: Symmetry) -> Alignment:
        """Permute the units of B towards A."""
        config, images = self._measured.config, self._measured.splits.get("train_a")
        return find_alignment(
            self._measured.ends, symmetry, config.aligning.align, config.matching, images, self._device
        )

    def part(self, task: PathTask) -> MeasuredPoints:
        """Measure points of a path."""
        which = task.aligned is not None, task.on_curve
        if which not in self._points:
            self._points[which] = self._measurer(self._curve(task))
        return self._points[which].measure(task.alphas, task.kept)

    def distances(self, task: PathTask) -> tuple[Values, Values]:
        """Compute how far the points of a path are from A; angles and distances as in `walk.Path`."""
        return distances_from_start(self._curve(task), trainable(self._network), np.array(task.alphas))

    def _measurer(self, curve: Curve) -> PointMeasurer:
        splits, config = self._measured.splits, self._measured.config.path
        names = measured_splits(self._measured.config)
        return PointMeasurer(
            self._network,
            curve,
            {name: (splits[name].images, splits[name].labels) for name in names},
            config.bn,
            both_training_sides(dict(splits)) if BN_POLICIES[config.bn].needs_images else None,
            config.path_engine,
        )

    def _curve(self, task: PathTask) -> Curve:
        ends = self._measured.ends[0], task.aligned or self._measured.ends[1]
        a, b = ({name: value.to(self._device) for name, value in end.state.items()} for end in ends)
        if not task.on_curve:
            return Segment(a, b)
        bends = ({name: value.to(self._device) for name, value in bend.items()} for bend in self._measured.bends)
        return CURVES[self._measured.config.curve.path]((a, *bends, b))


def walk_with(
    workers: Workers[PathMeasurer],
    grid: Grid,
    labels: Mapping[str, torch.Tensor],
    aligned: LoggedNetwork | None,
    on_curve: bool = False,
) -> Path:
    """Measure one path by workers, each of which takes some of its points.

    Args:
        workers: measure.
        grid: the points.
        labels: split -> labels.
        aligned: as in `PathTask`.
        on_curve: as in `PathTask`.
    """

    def measure(alphas: Sequence[float]) -> MeasuredPoints:
        parts = _parts(alphas, workers.num_places)
        tasks = [PathTask(aligned, part, Kept(grid.keep_samples, grid.calibrate), on_curve) for part in parts]
        found = workers.map(PathMeasurer.part, tasks)
        has_own_bar = True if len(parts) == 1 else None
        bar = tqdm(found, desc="measuring the path", unit="part", total=len(parts), leave=False, disable=has_own_bar)
        return _join(in_order(bar))

    def distances(alphas: Values) -> tuple[Values, Values]:
        task = PathTask(aligned, tuple(alphas.tolist()), on_curve=on_curve)
        return in_order(workers.map(PathMeasurer.distances, [task]))[0]

    return walk(grid, labels, measure, distances)


def _parts(alphas: Sequence[float], num_places: int) -> list[tuple[float, ...]]:
    """Divide points among workers; one worker has all of them, which a fast engine measures together."""
    num_parts = 1 if num_places == 1 else min(len(alphas), PARTS_OF_A_PLACE * num_places)
    return [tuple(part.tolist()) for part in np.array_split(np.array(alphas), num_parts)]


def _join(parts: Sequence[MeasuredPoints]) -> MeasuredPoints:
    points = {alpha: point for part in parts for alpha, point in part.points.items()}
    deviations = {alpha: own for part in parts for alpha, own in part.deviations.items()}
    return MeasuredPoints(points, parts[0].engine, deviations)
