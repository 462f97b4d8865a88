"""Computes every barrier of a path by its definition, from losses and accuracies on a grid of alphas."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
"""(T,) one number for each alpha."""
UNSEEN = "unseen"
"""The split of images that neither network was trained on and that are no test set; no verdict looks at it."""


def alpha_grid(num_alphas: int) -> Values:
    """Make evenly spaced alphas from 0 to 1, both included, and 0.5 where it is not among them."""
    return np.union1d(np.linspace(0, 1, num_alphas), [0.5])


def barrier(losses: Values) -> float:
    """Compute the highest loss minus the mean of both ends (Frankle et al.; Hepburn et al., equation 1).

    The ends count among the points, so that it is at least half of what the ends differ by.
    """
    return float(losses.max() - (losses[0] + losses[-1]) / 2)


def barrier_over_chord(alphas: Values, losses: Values) -> float:
    """Compute the largest height over the straight line between both ends' losses; at least 0 (Entezari et al.)."""
    return float((losses - ((1 - alphas) * losses[0] + alphas * losses[-1])).max())


def epsilon(losses: Values) -> float:
    """Compute the highest loss minus the higher end's: the least epsilon for which the ends are epsilon-connected."""
    return float(losses.max() - max(losses[0], losses[-1]))


@dataclass(frozen=True)
class BasinBarrier:
    """A barrier between two minima of a path, and where they and its top are (indices into the grid).

    Without one, `height` is 0, `left` and `right` are None and `top` is the lowest point.
    """

    height: float
    top: int
    left: int | None
    right: int | None


def barrier_in_basin(losses: Values) -> BasinBarrier:
    """Compute the barrier measured from the minima beside it (Hepburn et al., section IV-A, figure 3).

    For every interior point above the lowest loss to its left and the lowest to its right: its
    height over the mean of those two; the largest. 0 where there is none, as on a convex or
    monotone path.
    """
    best = BasinBarrier(0.0, int(losses.argmin()), None, None)
    for i in range(1, len(losses) - 1):
        left, right = int(losses[:i].argmin()), i + 1 + int(losses[i + 1 :].argmin())
        if losses[i] > losses[left] and losses[i] > losses[right]:
            height = float(losses[i] - (losses[left] + losses[right]) / 2)
            if best.left is None or height > best.height:
                best = BasinBarrier(height, i, left, right)
    return best


@dataclass(frozen=True)
class PathSummary:
    """One split's path in numbers; the field names are the logged keys."""

    barrier: float
    barrier_over_chord: float
    barrier_in_basin: float
    error_barrier: float
    error_barrier_normalized: float
    accuracy_delta: float
    min_accuracy_delta: float
    alpha_at_barrier: float


def summarize(alphas: Values, losses: Values, accuracies: Values, test_accuracies: Values) -> PathSummary:
    """Compute all barriers of a path on one split.

    With several labels an image the average precision stands for accuracy.

    Args:
        alphas: (T,) from 0 to 1.
        losses: (T,) on the split.
        accuracies: (T,) on the split, fractions.
        test_accuracies: (T,) on the test split: `error_barrier_normalized` divides by the mean of
            their ends on every split (Altintas et al., equation 2).
    """
    basin = barrier_in_basin(losses)
    ends = float(accuracies[0] + accuracies[-1]) / 2
    error = barrier(1 - accuracies)
    normalizer = float(test_accuracies[0] + test_accuracies[-1]) / 2
    return PathSummary(
        barrier=barrier(losses),
        barrier_over_chord=barrier_over_chord(alphas, losses),
        barrier_in_basin=basin.height,
        error_barrier=error,
        error_barrier_normalized=error / normalizer if normalizer > 0 else float("nan"),
        accuracy_delta=float(accuracies[basin.top]) - ends,
        min_accuracy_delta=float(accuracies.min()) - ends,
        alpha_at_barrier=float(alphas[basin.top]),
    )


def summary_keys(summary: PathSummary, score: str) -> dict[str, float]:
    """Name the numbers as they are logged: `accuracy_delta` is `average_precision_delta` where that is the score.

    Args:
        summary: of a split.
        score: `accuracy` or `average_precision`.
    """
    return {name.replace("accuracy", score): value for name, value in vars(summary).items()}


def connected(summaries: dict[str, PathSummary], barrier_threshold: float, accuracy_delta_threshold: float) -> str:
    """Judge a path: `yes`, `no`, or `apparent`.

    A split breaks the connection with a `barrier_in_basin` above its threshold or an
    `accuracy_delta` below its own (-6 % is the rule behind the bold print of Hepburn et al.). The test
    data decide between yes and no; if they show no break and a training side does, overfitting hides
    it and the connection is only apparent (section IV-C).

    Args:
        summaries: split -> summary; without `test`, a break on any split decides.
        barrier_threshold: in nats.
        accuracy_delta_threshold: a fraction, 0 or below.
    """
    broken = {
        split: s.barrier_in_basin > barrier_threshold or s.accuracy_delta < accuracy_delta_threshold
        for split, s in summaries.items()
    }
    return _judged(broken)


def connected_by_error(error_barriers: Mapping[str, float], threshold: float) -> str:
    """Judge a path as Altintas et al. do: connected where the error barrier is below 0.02; answers as in `connected`.

    Args:
        error_barriers: split -> `error_barrier`; nan breaks the connection.
        threshold: a fraction.
    """
    return _judged({split: not barrier < threshold for split, barrier in error_barriers.items()})


def _judged(broken: Mapping[str, bool]) -> str:
    broken = {split: is_broken for split, is_broken in broken.items() if split != UNSEEN} or broken
    if broken["test"] if "test" in broken else any(broken.values()):
        return "no"
    return "apparent" if any(broken.values()) else "yes"
