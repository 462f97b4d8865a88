"""Curves of network states: the segment between two networks, curves with bends, and points of the plane through three.

The only file that knows that a path is straight. Integers (batch norm's `num_batches_tracked`) are counts, not
positions: they are copied from A.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lmc_mlflow import weights
from lmc_mlflow.paths.barriers import Values
from lmc_mlflow.weights import State

Corners = tuple[State, State, State]
"""The states of A, B and C."""
Shares = tuple[float, float, float]
"""Barycentric weights of A, B and C."""


class Curve(Protocol):
    """States between A (t = 0) and B (t = 1)."""

    @property
    def ends(self) -> tuple[State, State]:
        """The states of A and B."""

    def point(self, t: float) -> dict[str, Tensor]:
        """Compute the state at t, from 0 to 1: new tensors, exactly A's at 0 and B's at 1 but for counts."""


@dataclass(frozen=True, eq=False)
class Segment:
    """The straight segment (1 - t) A + t B; gradients flow through its points to both ends."""

    a: State
    b: State

    @property
    def ends(self) -> tuple[State, State]:
        """The states of A and B."""
        return self.a, self.b

    def point(self, t: float) -> dict[str, Tensor]:
        """Compute the state at t; it has A's names."""
        names = [name for name, value in self.a.items() if value.is_floating_point()]
        a, b = ([end[name] for name in names] for end in self.ends)
        point = {name: value.clone() for name, value in self.a.items() if not value.is_floating_point()}
        for name, start, end, between in zip(names, a, b, torch._foreach_lerp(a, b, t), strict=True):
            # one call for all tensors takes all of its results for differentiable, running statistics too
            point[name] = between if start.requires_grad or end.requires_grad else between.detach()
        return {name: point[name] for name in self.a}


@dataclass(frozen=True, eq=False)
class Polygon:
    """Segments of equal shares of t that meet in the bends (Garipov et al., 2018, equation 3); gradients flow through.

    Attributes:
        controls: A, the bends in order, B.
    """

    controls: tuple[State, ...]

    @property
    def ends(self) -> tuple[State, State]:
        """The states of A and B."""
        return self.controls[0], self.controls[-1]

    def point(self, t: float) -> dict[str, Tensor]:
        """Compute the state at t; it has A's names."""
        num_pieces = len(self.controls) - 1
        piece = min(int(t * num_pieces), num_pieces - 1)
        return Segment(self.controls[piece], self.controls[piece + 1]).point(t * num_pieces - piece)


@dataclass(frozen=True, eq=False)
class Bezier:
    """The Bezier curve of its control points (Garipov et al., 2018, equation 4); gradients flow through.

    A point is found by de Casteljau's construction: segments between segments, so that the ends are exact.

    Attributes:
        controls: A, the bends in order, through which the curve does not go, B.
    """

    controls: tuple[State, ...]

    @property
    def ends(self) -> tuple[State, State]:
        """The states of A and B."""
        return self.controls[0], self.controls[-1]

    def point(self, t: float) -> dict[str, Tensor]:
        """Compute the state at t; it has A's names."""
        points: list[State] = list(self.controls)
        while len(points) > 1:
            points = [Segment(a, b).point(t) for a, b in pairwise(points)]
        return dict(points[0])


CURVES: Mapping[str, Callable[[tuple[State, ...]], Curve]] = {"bezier": Bezier, "polygon": Polygon}
"""Name -> the curve of control points A, bends, B. `config.curve` holds the names again: flags import no PyTorch."""


def straight_bends(a: State, b: State, num_bends: int) -> list[dict[str, Tensor]]:
    """Compute bends that lie evenly on the segment: both curves are the segment then, at the same t."""
    return [Segment(a, b).point(i / (num_bends + 1)) for i in range(1, num_bends + 1)]


def distances_from_start(curve: Curve, names: Sequence[str], alphas: Values) -> tuple[Values, Values]:
    """Compute the angle (degrees) and the Manhattan distance (T,) between A and the curve's points.

    The angle with a network of zeros is nan.

    Args:
        curve: from A to B.
        names: of the tensors that count.
        alphas: (T,) from 0 to 1.
    """
    if isinstance(curve, Segment):
        return _distances_on_segment(curve, names, alphas)
    start = curve.ends[0]
    points = [curve.point(float(alpha)) for alpha in alphas]
    angles = [weights.angle_deg(start, point, names) for point in points]
    return np.array(angles), np.array([weights.manhattan(start, point, names) for point in points])


@np.errstate(invalid="ignore")  # infinite weights have no angle
def _distances_on_segment(segment: Segment, names: Sequence[str], alphas: Values) -> tuple[Values, Values]:
    """Compute the same in closed form and double precision.

    With D = B - A the network is A + alpha D: |A| + alpha (D . A / |A|) along A and alpha |D'| across it,
    where D' is what of D is at right angles to A. An arc tangent of the two keeps its digits near 0 and 180.
    """
    a, b = (torch.cat([end[name].detach().double().flatten() for name in names]) for end in segment.ends)
    step, norm = b - a, float(a.norm())
    distances = alphas * float(step.abs().sum())
    if norm == 0:
        return np.full_like(distances, np.nan), distances
    along_a = float(step @ a) / norm
    along, across = norm + alphas * along_a, alphas * float((step - a * (along_a / norm)).norm())
    angles = np.degrees(np.arctan2(across, along))
    return np.where((along == 0) & (across == 0), np.nan, angles), distances


def barycentric_point(corners: Corners, shares: Shares) -> dict[str, Tensor]:
    """Compute the weighted sum of three states."""
    a, b, c = corners
    of_a, of_b, of_c = shares
    return {
        name: of_a * a[name] + of_b * b[name] + of_c * c[name] if a[name].is_floating_point() else a[name].clone()
        for name in a
    }


def clip_to_triangle(shares: Shares) -> Shares:
    """Drop negative weights and scale the others to sum to 1: a variance stays one beyond the edges."""
    kept = [max(0.0, share) for share in shares]
    return kept[0] / sum(kept), kept[1] / sum(kept), kept[2] / sum(kept)
