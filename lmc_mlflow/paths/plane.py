"""Measures the networks on the plane through three networks (Garipov et al., 2018, Appendix A.1)."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from lmc_mlflow import weights
from lmc_mlflow.batches import Images
from lmc_mlflow.config.choices import lookup, unknown_name
from lmc_mlflow.evaluation import check_state
from lmc_mlflow.models.parameters import trainable
from lmc_mlflow.paths.barriers import Values
from lmc_mlflow.paths.curves import Corners, Segment, Shares, barycentric_point
from lmc_mlflow.paths.engines.table import PATH_ENGINES
from lmc_mlflow.paths.measures import LOSS, Splits
from lmc_mlflow.paths.points import BN_POLICIES
from lmc_mlflow.paths.samples import Kept
from lmc_mlflow.paths.walk import values_of
from lmc_mlflow.precision import products
from lmc_mlflow.predictions.scores import SCORE_NAMES

LEAST_ANGLE = 1e-6
"""Sine of the angle at A below which three networks are taken to lie on one line."""


@dataclass(frozen=True)
class Plane:
    """Where three networks lie on their plane: A at the origin, B on the first axis, C above it. Units: L2 distance.

    The axes are the difference B - A and what of C - A is at right angles to it, both of length 1, over the
    trainable parameters.

    Attributes:
        b: first coordinate of B.
        c: both coordinates of C.
    """

    b: float
    c: tuple[float, float]

    @staticmethod
    def through(corners: Corners, names: Sequence[str]) -> "Plane":
        """Lay the plane through three states.

        Args:
            corners: A, B, C.
            names: of the tensors that count.

        Raises:
            ValueError: the three lie on one line.
        """
        a, b, c = (torch.cat([state[name].detach().double().flatten() for name in names]) for state in corners)
        first, second = b - a, c - a
        long, other = float(first.norm()), float(second.norm())
        along = float(second @ first) / long if long > 0 else 0.0
        across = float((second - first * (along / long)).norm()) if long > 0 else 0.0
        if across <= LEAST_ANGLE * other or other == 0:
            raise ValueError("the three networks lie on one line, which makes no plane; choose others")
        return Plane(long, (along, across))

    def points(self) -> dict[str, tuple[float, float]]:
        """Return where A, B and C lie."""
        return {"A": (0.0, 0.0), "B": (self.b, 0.0), "C": self.c}

    def shares(self, x: float, y: float) -> Shares:
        """Compute the barycentric weights of A, B and C at a point; they sum to 1, and are negative beyond an edge."""
        of_c = y / self.c[1]
        of_b = (x - of_c * self.c[0]) / self.b
        return 1 - of_b - of_c, of_b, of_c

    def axes(self, num_points: int, margin: float) -> tuple[Values, Values]:
        """Make evenly spaced first and second coordinates, with room around the three networks.

        Args:
            num_points: along each axis.
            margin: as a share of the extent of the three.
        """
        xs, ys = zip(*self.points().values(), strict=True)
        found = []
        for values in (xs, ys):
            room = margin * (max(values) - min(values))
            found.append(np.linspace(min(values) - room, max(values) + room, num_points))
        return found[0], found[1]


@dataclass(frozen=True)
class Row:
    """Loss and score (num_points,) along one row of a plane; engine as in `walk.Path`."""

    losses: Values
    scores: Values
    engine: str


@dataclass(frozen=True)
class Surface:
    """Measurements over a plane: loss and score (num_points, num_points), a row for each second coordinate.

    Attributes:
        plane: where the three networks lie.
        xs: first coordinates.
        ys: second coordinates.
        losses: mean loss at each point.
        scores: accuracy or average precision.
        engine: as in `walk.Path`.
    """

    plane: Plane
    xs: Values
    ys: Values
    losses: Values
    scores: Values
    engine: str


class RowMeasurer:
    """Measures the plane through three states row by row: each row is a segment and is walked as a path is.

    Attributes:
        plane: where the three lie.
    """

    def __init__(
        self,
        network: nn.Module,
        corners: Corners,
        grid: tuple[int, float],
        data: Splits,
        bn: str,
        calibration: Images | None = None,
    ) -> None:
        """Check that everything fits.

        Args:
            network: gives the architecture and the device; its own weights do not matter.
            corners: A, B, C.
            grid: points along each axis, and the room around the three as a share of their extent.
            data: one split: its name, images and labels.
            bn: a row of `POLICIES`: statistics recalibrated at every point on the calibration images, or weighted by
                the point's barycentric weights, clipped to the triangle.
            calibration: training images, for `recalibrate`.

        Raises:
            ValueError: the three lie on one line or do not fit one another, the policy is not defined on a plane, or
                the outputs are no log-probabilities where the labels are class indices.
        """
        for other in corners[1:]:
            weights.check_compatible(corners[0], other)
        set_statistics = lookup(BN_POLICIES, bn, "bn").on_plane
        if set_statistics is None:
            raise unknown_name("bn on a plane", bn, [name for name, row in BN_POLICIES.items() if row.on_plane])
        self.plane = Plane.through(corners, trainable(network))
        self._xs, self._ys = self.plane.axes(*grid)
        self._corners, self._data = corners, data
        self._scratch = copy.deepcopy(network).requires_grad_(False).eval()
        for images, labels in data.values():
            check_state(self._scratch, corners[0], images, labels)
        self._set_statistics = partial(set_statistics, self._scratch, corners)
        self._calibration = calibration

    @products("float32")
    def row(self, index: int) -> Row:
        """Measure a row, from its first point to its last."""
        shares = [self.plane.shares(x, self._ys[index]) for x in self._xs]
        ends = (barycentric_point(self._corners, shares[0]), barycentric_point(self._corners, shares[-1]))
        segment, steps = Segment(*ends), [float(step) for step in np.linspace(0, 1, len(shares))]
        of_step = dict(zip(steps, shares, strict=True))

        def load_point(step: float) -> nn.Module:
            self._scratch.load_state_dict(segment.point(step))
            self._set_statistics(of_step[step], self._calibration)
            return self._scratch

        found, used = PATH_ENGINES["fast"](self._scratch, segment, steps, load_point, self._data, Kept())
        (points,) = found.values()
        values = values_of(points)
        (score,) = (name for name in SCORE_NAMES if name in values)
        return Row(values[LOSS], values[score], used)


def join_rows(plane: Plane, grid: tuple[int, float], rows: Mapping[int, Row]) -> Surface:
    """Join all rows of a plane, by their index, to a surface; `grid` as in `RowMeasurer`."""
    xs, ys = plane.axes(*grid)
    ordered = [rows[index] for index in range(len(ys))]
    losses, scores = np.stack([row.losses for row in ordered]), np.stack([row.scores for row in ordered])
    return Surface(plane, xs, ys, losses, scores, ordered[-1].engine)
