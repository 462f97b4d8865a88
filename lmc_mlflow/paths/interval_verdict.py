"""Judges a path by the intervals of its numbers: connected, not connected, or undecided."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lmc_mlflow.paths.barriers import JUDGED, PathSummary, judge
from lmc_mlflow.paths.intervals import Intervals
from lmc_mlflow.predictions.ensembles import Interval

BARRIER, DELTA = "barrier_in_basin", "accuracy_delta"
"""Fields of `PathSummary` that decide whether a path connects."""


@dataclass(frozen=True)
class Reading:
    """One number on one split, and the threshold that it is held against.

    Attributes:
        split: on which it was measured.
        name: a field of `PathSummary`.
        interval: the number and the ends of its interval, which are nan where it has none.
        threshold: a larger number breaks the connection, or, of a delta, a smaller one.
    """

    split: str
    name: str
    interval: Interval
    threshold: float

    @property
    def breaks(self) -> bool | None:
        """Whether the number breaks the connection; None if its interval crosses the threshold.

        A number that is not finite breaks it. One without an interval never does: it is a None.
        """
        value, low, high = self.interval.value, self.interval.low, self.interval.high
        if not np.isfinite(value):
            return True
        sign = 1 if self.name == BARRIER else -1
        beyond = [sign * number > sign * self.threshold for number in (value, low, high) if not np.isnan(number)]
        if len(beyond) == 1:
            return None if beyond[0] else False
        return beyond[0] if all(beyond) or not any(beyond) else None

    def sentence(self, score: str) -> str:
        """Write the number with its interval and threshold, as in `test accuracy delta -5.10% (-6.30% to -4.02%)`.

        Args:
            score: `accuracy` or `average_precision`.
        """
        value, low, high = self.interval.value, self.interval.low, self.interval.high
        form = "{:.4f}" if self.name == BARRIER else "{:+.2%}"
        text = f"{self.split} {self.name.replace('accuracy', score).replace('_', ' ')} {form.format(value)}"
        if not np.isfinite(value):
            return f"{text}: a loss on {self.split} is not finite, and such a path is never connected"
        within = "no interval" if np.isnan(low) else f"{form.format(low)} to {form.format(high)}"
        threshold = f"{self.threshold:g}" if self.name == BARRIER else f"{100 * self.threshold:g}%"
        return f"{text} ({within}), threshold {threshold}"


@dataclass(frozen=True)
class IntervalVerdict:
    """The verdict `yes`, `no`, `apparent` or `undecided`, and the reading that decided it."""

    answer: str
    reading: Reading


def connected_by_intervals(
    summaries: Mapping[str, PathSummary],
    intervals: Mapping[str, Intervals],
    barrier_threshold: float,
    accuracy_delta_threshold: float,
) -> IntervalVerdict:
    """Judge a path as `barriers.connected` does, where every interval lies on one side of its threshold.

    Any other answer than `undecided` is that of `connected`. With several labels an image the delta of the average
    precision has no interval: below its threshold it makes a path undecided, and never breaks it.

    Args:
        summaries: split -> summary.
        intervals: split -> field -> interval.
        barrier_threshold: in nats.
        accuracy_delta_threshold: a fraction, 0 or below.
    """
    thresholds = {BARRIER: barrier_threshold, DELTA: accuracy_delta_threshold}
    readings = {
        split: [
            Reading(split, name, _interval(summary, intervals[split], name), threshold)
            for name, threshold in thresholds.items()
        ]
        for split, summary in summaries.items()
    }
    broken = {split: _split_breaks(own) for split, own in readings.items()}
    answer = judge(broken)
    wanted = {"no": True, "apparent": True, "yes": False, "undecided": None}[answer]
    deciding = [split for split in broken if split in JUDGED] or list(broken)
    first = sorted(deciding, key=lambda split: split != "test")
    return IntervalVerdict(answer, next(r for split in first for r in readings[split] if r.breaks is wanted))


def _split_breaks(readings: list[Reading]) -> bool | None:
    """True if any number breaks the connection, None if any is undecided, False if none does."""
    answers = [reading.breaks for reading in readings]
    return True if True in answers else None if None in answers else False


def _interval(summary: PathSummary, intervals: Intervals, name: str) -> Interval:
    """The number as the summary has it, with the ends of its interval."""
    own = intervals.get(name)
    return Interval(getattr(summary, name), *((np.nan, np.nan) if own is None else (own.low, own.high)))
