"""Chooses the points of a path: an even grid, or more points where a barrier may lie higher between two of them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lmc_mlflow.paths.barriers import Values, barrier_in_basin, heights_in_basin

RESOLUTION = 1000
"""Points that are added lie at whole multiples of 1 / RESOLUTION, so that round(1000 alpha) tells them apart."""
FIRST_POINTS = 11
MOST_POINTS = 101
"""An adaptive path begins with the first number of points and ends with the second at the latest."""


@dataclass(frozen=True)
class Grid:
    """Where a path is measured, and what is kept of each point.

    Attributes:
        alphas: (T,) from 0 to 1, the points that are measured first.
        tolerance: nats by which what lies between two points may raise a barrier; None: no points are added.
        keep_samples: whether the loss and the class of every sample are kept.
        calibrate: whether the best softmax temperature is found at every point; for one label an image alone.
    """

    alphas: Values
    tolerance: float | None = None
    keep_samples: bool = False
    calibrate: bool = False


def adaptive_grid(tolerance: float, keep_samples: bool = False, calibrate: bool = False) -> Grid:
    """Make the grid that begins with `FIRST_POINTS` even points; arguments as in `Grid`."""
    alphas = np.arange(0, RESOLUTION + 1, RESOLUTION // (FIRST_POINTS - 1)) / RESOLUTION
    return Grid(alphas, tolerance, keep_samples, calibrate)


def next_points(alphas: Values, losses: Mapping[str, Values], tolerance: float) -> Values:
    """Choose the middles of the intervals in which a peak or a minimum may raise a barrier by more than the tolerance.

    Args:
        alphas: (T,) the points so far, multiples of 1 / `RESOLUTION`, in order.
        losses: split -> (T,); one split is enough for a point.
        tolerance: nats.

    Returns:
        The points to add, in order; none if no barrier may rise or as many as are allowed are used.
    """
    rises = np.max([possible_rises(alphas, own, tolerance) for own in losses.values()], axis=0)
    steps = np.round(RESOLUTION * alphas).astype(int)
    wanted = np.flatnonzero((rises > tolerance) & (np.diff(steps) > 1))
    room = max(0, MOST_POINTS - len(alphas))
    chosen = np.sort(wanted[np.argsort(-rises[wanted], kind="stable")][:room])
    return np.asarray((steps[chosen] + steps[chosen + 1]) // 2 / RESOLUTION, dtype=np.float64)


def barrier_error_bound(alphas: Values, losses: Values, tolerance: float) -> float:
    """Compute by how many nats a barrier of a path may be higher than its points say; nan if a loss is not finite.

    The larger one of `barrier` and `barrier_in_basin`, if all peaks and minima between the points are as high and as
    low as they may be. It is an estimate: it takes the loss for about as smooth as the parabolas through
    neighbouring points. Arguments as in `possible_rises`.
    """
    rises = possible_rises(alphas, losses, tolerance)
    if len(losses) < 3 or not np.isfinite(losses).all():
        return float(rises.max(initial=0.0))
    peaks, minima = _highest_between(alphas, losses), -_highest_between(alphas, -losses)
    together, basin = peaks.max() - losses.max(), barrier_in_basin(losses)
    if basin.left is not None and basin.right is not None:
        lowest = (minima[: basin.top].min() + minima[basin.top :].min()) / 2
        together = max(together, peaks[basin.left : basin.right].max() - lowest - basin.height)
    return float(max(together, rises.max()))


def possible_rises(alphas: Values, losses: Values, tolerance: float) -> Values:
    """Compute by how much (T - 1,) one peak or minimum inside each interval may raise a barrier; at least 0.

    Of `barrier` it is the height of the peak above all points. Of `barrier_in_basin` it is what the peak or the
    minimum changes as a further point of the path, where it leaves the range of its interval's ends by more than the
    tolerance: on a slope each unevenness is a small hill between lower points, and would count by half the slope.

    Args:
        alphas: (T,) in order.
        losses: (T,) nats.
        tolerance: nats.
    """
    is_finite = bool(np.isfinite(losses).all())
    if len(losses) < 3 or not is_finite:
        return np.full(max(0, len(losses) - 1), 0.0 if is_finite else np.nan)
    peaks, minima = _highest_between(alphas, losses), -_highest_between(alphas, -losses)
    rises = np.maximum(peaks - losses.max(), 0)
    height = barrier_in_basin(losses).height
    for inserted, beyond in (
        (peaks, peaks - np.maximum(losses[:-1], losses[1:])),
        (minima, np.minimum(losses[:-1], losses[1:]) - minima),
    ):
        with_point = heights_in_basin(_with_one_more(losses, inserted))[0] - height
        rises = np.maximum(rises, np.where(beyond > tolerance, with_point, 0))
    return np.asarray(rises)


def _with_one_more(losses: Values, inserted: Values) -> Values:
    """A path (T - 1, T + 1) for each interval, which has one more point there."""
    paths = np.empty((len(inserted), len(losses) + 1))
    for i, value in enumerate(inserted):
        paths[i] = np.concatenate([losses[: i + 1], [value], losses[i + 1 :]])
    return paths


def _highest_between(alphas: Values, losses: Values) -> Values:
    """How high (T - 1,) the loss may be in each interval.

    Two parabolas go through both ends of an interval: one through the next point to the left, the other through the
    next to the right (at an end of the path, through the next two of the one side). The higher of them, plus
    what they differ by. With w = (x - x0) (x - x1), which is not positive between the points, both are the chord plus
    c w; so is this bound, with c = min(c1, c2) - |c1 - c2|.
    """
    last = len(alphas) - 1
    left = np.arange(last)
    before, behind = left - 1, left + 2
    before[0], behind[-1] = min(3, last), max(0, last - 3)
    width = np.diff(alphas)
    slope = np.diff(losses) / width

    def curvature(third: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> Values:
        to_third = (losses[third] - losses[left]) / (alphas[third] - alphas[left])
        return np.asarray((to_third - slope) / (alphas[third] - alphas[left + 1]))

    first, second = curvature(before), curvature(behind)
    bend = np.minimum(first, second) - np.abs(first - second)
    ends = np.maximum(losses[:-1], losses[1:])
    with np.errstate(divide="ignore", invalid="ignore"):
        at = width / 2 - slope / (2 * bend)
        inside = (bend < 0) & (at > 0) & (at < width)
        peak = losses[:-1] + slope * at + bend * at * (at - width)
    return np.where(inside, np.maximum(peak, ends), ends)
