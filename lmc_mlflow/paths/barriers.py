"""Computes the barriers of a path: over its ends, over the chord, in the basin; from losses on a grid of alphas."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
"""(T,) one number for each alpha."""
UNSEEN = "unseen"
"""The split of images that neither network was trained on and that are no test set."""
JUDGED = ("test", "train_a", "train_b")
"""The splits that verdicts look at; of others only where there is none of these."""
OF_LOSSES = ("barrier", "barrier_over_chord", "barrier_in_basin")
OF_ACCURACIES = ("error_barrier", "error_barrier_normalized", "accuracy_delta", "min_accuracy_delta")
"""Fields of `PathSummary` that have an interval: those of the loss on all data, those of accuracies where labels are
classes. An average precision needs the ranks of all samples in every resample, and has none."""


def alpha_grid(num_alphas: int) -> Values:
    """Make evenly spaced alphas from 0 to 1, both included, and 0.5 where it is not among them."""
    return np.union1d(np.linspace(0, 1, num_alphas), [0.5])


def barrier(losses: Values) -> float:
    """Compute the highest loss minus the mean of both ends (Frankle et al.; Hepburn et al., equation 1).

    The ends count among the points, so that it is at least half of what the ends differ by.
    """
    return float(_over_mean(losses))


def barrier_over_chord(alphas: Values, losses: Values) -> float:
    """Compute the largest height over the straight line between both ends' losses; at least 0 (Entezari et al.)."""
    return float(_over_chord(alphas, losses))


def epsilon(losses: Values) -> float:
    """Compute the highest loss minus the higher end's: the least epsilon for which the ends are epsilon-connected."""
    return float(losses.max() - max(losses[0], losses[-1]))


def _over_mean(losses: Values) -> Values:
    with np.errstate(invalid="ignore"):
        return np.asarray(losses.max(axis=-1) - (losses[..., 0] + losses[..., -1]) / 2)


def _over_chord(alphas: Values, losses: Values) -> Values:
    with np.errstate(invalid="ignore"):
        return np.asarray((losses - ((1 - alphas) * losses[..., :1] + alphas * losses[..., -1:])).max(axis=-1))


@dataclass(frozen=True)
class BasinBarrier:
    """A barrier between two minima of a path, and where they and its top are (indices into the grid).

    Without one, `height` is 0, `left` and `right` are None and `top` is the lowest point. A path with a loss that is
    no number has no height: nan.
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
    heights, tops = heights_in_basin(losses)
    height, top = float(heights), int(tops)
    if not height > 0:
        return BasinBarrier(height, top, None, None)
    return BasinBarrier(height, top, int(losses[:top].argmin()), top + 1 + int(losses[top + 1 :].argmin()))


def heights_in_basin(losses: Values) -> tuple[Values, NDArray[np.intp]]:
    """Compute `barrier_in_basin` of many paths (..., T): heights (...) and indices (...) of their tops.

    Of equally high ones the first is the top. An infinite loss between finite ones is an infinite barrier; any other
    loss that is not finite makes it nan.
    """
    inner = losses[..., 1:-1]
    lowest_left = np.minimum.accumulate(losses, axis=-1)[..., :-2]
    lowest_right = np.minimum.accumulate(losses[..., ::-1], axis=-1)[..., ::-1][..., 2:]
    with np.errstate(invalid="ignore"):
        is_top = (inner > lowest_left) & (inner > lowest_right)
        over = np.where(is_top, inner - (lowest_left + lowest_right) / 2, 0)
    heights = over.max(axis=-1, initial=0)
    tops = losses.argmin(axis=-1)
    if inner.shape[-1]:
        tops = np.where(is_top.any(axis=-1), 1 + over.argmax(axis=-1), tops)
    is_number = np.isfinite(losses).all(axis=-1) | np.isinf(heights)
    return np.where(is_number, heights, np.nan), tops


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
        accuracies: (T,) on the split, fractions; a network whose loss is no number has none.
        test_accuracies: (T,) on the test split: `error_barrier_normalized` divides by the mean of
            their ends on every split (Altintas et al., equation 2).
    """
    rows = summarize_rows(alphas, losses[None], accuracies[None], test_accuracies[None])
    return PathSummary(**{name: float(values[0]) for name, values in rows.items()})


def summarize_rows(alphas: Values, losses: Values, accuracies: Values, test_accuracies: Values) -> dict[str, Values]:
    """Compute the same of many paths over one grid: field of `PathSummary` -> (R,).

    Args:
        alphas: (T,).
        losses: (R, T).
        accuracies: (R, T).
        test_accuracies: (R, T).
    """
    accuracies = np.where(np.isnan(losses), np.nan, accuracies)
    heights, tops = heights_in_basin(losses)
    at_top = np.take_along_axis(accuracies, tops[:, None], axis=1)[:, 0]
    ends = (accuracies[:, 0] + accuracies[:, -1]) / 2
    error = _over_mean(1 - accuracies)
    normalizer = (test_accuracies[:, 0] + test_accuracies[:, -1]) / 2
    return {
        "barrier": _over_mean(losses),
        "barrier_over_chord": _over_chord(alphas, losses),
        "barrier_in_basin": heights,
        "error_barrier": error,
        "error_barrier_normalized": error / np.where(normalizer > 0, normalizer, np.nan),
        "accuracy_delta": at_top - ends,
        "min_accuracy_delta": accuracies.min(axis=-1) - ends,
        "alpha_at_barrier": alphas[tops],
    }


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
    it and the connection is only apparent (section IV-C). A number that is nan breaks it: no path over
    a loss that is not finite is connected.

    Args:
        summaries: split -> summary; without `test`, a break on any split decides.
        barrier_threshold: in nats.
        accuracy_delta_threshold: a fraction, 0 or below.
    """
    broken = {
        split: not s.barrier_in_basin <= barrier_threshold or not s.accuracy_delta >= accuracy_delta_threshold
        for split, s in summaries.items()
    }
    return judge(broken)


def connected_by_error(error_barriers: Mapping[str, float], threshold: float) -> str:
    """Judge a path as Altintas et al. do: connected where the error barrier is below 0.02; answers as in `connected`.

    Args:
        error_barriers: split -> `error_barrier`; nan breaks the connection.
        threshold: a fraction.
    """
    return judge({split: not barrier < threshold for split, barrier in error_barriers.items()})


def judge(broken: Mapping[str, bool | None]) -> str:
    """Turn what each split says into the verdict of a path: `yes`, `no`, `apparent` or `undecided`.

    Args:
        broken: split -> whether it breaks the connection; None: its data do not tell.
    """
    broken = {split: is_broken for split, is_broken in broken.items() if split in JUDGED} or broken
    first = broken["test"] if "test" in broken else _any(broken.values())
    if first is not False:
        return "no" if first else "undecided"
    answers = {True: "apparent", False: "yes", None: "undecided"}
    return answers[_any(broken.values())]


def _any(broken: Collection[bool | None]) -> bool | None:
    if any(broken):
        return True
    return None if None in broken else False
