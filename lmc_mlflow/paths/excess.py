"""Divides the height of a path over its chord among samples, classes and sides: who pays for the barrier."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.paths.barriers import Values
from lmc_mlflow.paths.samples import PathSamples

A_MORE, B_MORE, EQUALLY, UNKNOWN = "A", "B", "equal", "unknown"
"""Which side saw more images of a class."""


@dataclass(frozen=True)
class ClassShare:
    """What one class pays of the height of a path over its chord.

    Attributes:
        label: of the class.
        num_samples: of the class in the split.
        num_a: training images of the class that side A saw; -1: nobody knows.
        num_b: the same of side B.
        seen_more: the side that saw more of them: `A`, `B`, `equal` or `unknown`.
        alpha: where the path is highest over its chord, the same for all classes.
        excess: mean height of the class's samples over their own chords there, nats; nan without samples.
        contribution: the sum of these heights over the number of all samples; the classes' contributions add up to the
            height of the path.
        own_barrier: the largest height of the class's own mean loss over its chord, nats, at least 0.
        own_alpha: where it is.
    """

    label: int
    num_samples: int
    num_a: int
    num_b: int
    seen_more: str
    alpha: float
    excess: float
    contribution: float
    own_barrier: float
    own_alpha: float


@dataclass(frozen=True)
class SampleShare:
    """What one sample pays.

    Attributes:
        index: position in the split.
        label: its class; -1 with several labels an image.
        excess: height of its loss over its own chord where the path is highest over its chord, nats.
        loss_a: its loss at A.
        loss_top: its loss there.
        loss_b: its loss at B.
        predicted_a: the class that A chooses; -1 with several labels an image.
        predicted_top: the class that is chosen there.
        predicted_b: the class that B chooses.
    """

    index: int
    label: int
    excess: float
    loss_a: float
    loss_top: float
    loss_b: float
    predicted_a: int
    predicted_top: int
    predicted_b: int


def sample_excess(alphas: Values, losses: NDArray[np.floating[Any]]) -> Values:
    """Compute how high the loss of each sample lies over the straight line between its losses at both ends.

    The mean over the samples is the height of the path over its chord at every alpha: its largest value is
    `barrier_over_chord`.

    Args:
        alphas: (T,) from 0 to 1.
        losses: (T, N) of the samples.

    Returns:
        (T, N) in double precision, 0 at both ends.
    """
    exact = losses.astype(np.float64)
    with np.errstate(invalid="ignore"):  # a loss that is not finite
        found: Values = exact - ((1 - alphas)[:, None] * exact[0] + alphas[:, None] * exact[-1])
    return found


def highest_point(heights: Values) -> int:
    """Find the index of the highest inner point over the chord, from heights (T,); below it where all are."""
    return 1 + int(heights[1:-1].argmax()) if len(heights) > 2 else 0


def barrier_by_class(
    alphas: Values, samples: PathSamples, num_classes: int, counts: tuple[Sequence[int], Sequence[int]] | None = None
) -> list[ClassShare]:
    """Divide the height of a path over its chord among the classes.

    Args:
        alphas: (T,) from 0 to 1.
        samples: every sample of a split at every alpha, one label an image.
        num_classes: K.
        counts: training images of each class (K,) that A saw, and that B saw; None: nobody knows.

    Returns:
        K rows in the order of the labels; none on a path with a loss that is not finite, or with several labels an
        image.
    """
    if samples.labels is None or not np.isfinite(samples.losses).all():
        return []
    excess = sample_excess(alphas, samples.losses)
    top = highest_point(excess.mean(axis=1))
    return [_share(alphas, excess, samples.labels == label, top, label, counts) for label in range(num_classes)]


def _share(
    alphas: Values,
    excess: Values,
    chosen: NDArray[np.bool_],
    top: int,
    label: int,
    counts: tuple[Sequence[int], Sequence[int]] | None,
) -> ClassShare:
    num_a, num_b = (-1, -1) if counts is None else (int(counts[0][label]), int(counts[1][label]))
    number, own = int(chosen.sum()), excess[:, chosen]
    means = own.mean(axis=1) if number else np.full(len(alphas), np.nan)
    own_top = int(means.argmax()) if number else 0
    return ClassShare(
        label=label,
        num_samples=number,
        num_a=num_a,
        num_b=num_b,
        seen_more=_seen_more(num_a, num_b),
        alpha=float(alphas[top]),
        excess=float(means[top]),
        contribution=float(own[top].sum() / excess.shape[1]),
        own_barrier=float(means[own_top]),
        own_alpha=float(alphas[own_top]) if number else float("nan"),
    )


def _seen_more(num_a: int, num_b: int) -> str:
    if num_a < 0:
        return UNKNOWN
    return EQUALLY if num_a == num_b else A_MORE if num_a > num_b else B_MORE


def barrier_by_side(rows: Sequence[ClassShare]) -> dict[str, float]:
    """Add up the contributions of the classes that A saw more of, that B did, and that both saw equally.

    Args:
        rows: of all classes.

    Returns:
        Side -> nats; the values add up to the height of the path. A side without classes is left out.
    """
    sides = dict.fromkeys(row.seen_more for row in rows)
    return {side: sum(row.contribution for row in rows if row.seen_more == side) for side in sides}


def barrier_by_sample(alphas: Values, samples: PathSamples, most: int) -> list[SampleShare]:
    """List the samples that pay most for the height of a path over its chord, the first pays most.

    Args:
        alphas: (T,) from 0 to 1.
        samples: every sample of a split at every alpha.
        most: rows at the most.

    Returns:
        None on a path with a loss that is not finite.
    """
    if not np.isfinite(samples.losses).all():
        return []
    excess = sample_excess(alphas, samples.losses)
    top = highest_point(excess.mean(axis=1))
    losses, predicted, labels = samples.losses, samples.predicted, samples.labels
    rows = []
    for i in np.argsort(-excess[top], kind="stable")[:most]:
        before, highest, after = (float(losses[t, i]) for t in (0, top, -1))
        chosen = [-1 if predicted is None else int(predicted[t, i]) for t in (0, top, -1)]
        label = -1 if labels is None else int(labels[i])
        rows.append(SampleShare(int(i), label, float(excess[top, i]), before, highest, after, *chosen))
    return rows


def share_that_pays_half(alphas: Values, samples: PathSamples) -> float:
    """Compute the smallest share of the samples that together pay half of the height of a path over its chord.

    Args:
        alphas: (T,) from 0 to 1.
        samples: every sample of a split at every alpha.

    Returns:
        A fraction, 0.5 where all pay alike; nan without a height above 0, or with a loss that is not finite.
    """
    excess = sample_excess(alphas, samples.losses)
    paid = excess[highest_point(excess.mean(axis=1))]
    if not paid.sum() > 0 or not np.isfinite(paid).all():
        return float("nan")
    number = int(np.searchsorted(np.maximum.accumulate(np.cumsum(-np.sort(-paid))), paid.sum() / 2)) + 1
    return number / len(paid)
