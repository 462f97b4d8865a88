"""Judges a measured path by every rule, with the intervals of its numbers."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lmc_mlflow.config.path import PathConfig
from lmc_mlflow.paths.barriers import JUDGED, PathSummary, connected, connected_by_error
from lmc_mlflow.paths.interval_verdict import IntervalVerdict, connected_by_intervals
from lmc_mlflow.paths.intervals import Bootstrap, Intervals, path_intervals
from lmc_mlflow.paths.walk import Path


@dataclass(frozen=True)
class Verdicts:
    """What the rules say about a path.

    Attributes:
        connected: by loss and accuracy.
        by_error: by error.
        by_intervals: by the intervals of loss and accuracy; None without resamples.
        intervals: split -> field of `PathSummary` -> interval; empty without resamples.
        score: of the path, `accuracy` or `average_precision`.
        decided_by: the split and the number that decided `connected`, beside its threshold.
        decided_by_error: the same of `by_error`.
    """

    connected: str
    by_error: str
    by_intervals: IntervalVerdict | None
    intervals: Mapping[str, Intervals]
    score: str
    decided_by: str
    decided_by_error: str = ""

    @property
    def answer_by_intervals(self) -> str:
        """The verdict by intervals; empty without resamples."""
        return "" if self.by_intervals is None else self.by_intervals.answer

    @property
    def reason(self) -> str:
        """The split and the number that decided the verdict by intervals; empty without resamples."""
        return "" if self.by_intervals is None else self.by_intervals.reading.sentence(self.score)

    @property
    def sentence(self) -> str:
        """Both verdicts by loss and accuracy, and what decided."""
        return f"connected: {self.connected}" + (
            "" if self.by_intervals is None else f", by interval: {self.answer_by_intervals} ({self.reason})"
        )


def judge_path(config: PathConfig, path: Path) -> Verdicts:
    """Compute the intervals of a path whose samples were kept, and every verdict."""
    summaries = path.summaries
    errors = {split: summary.error_barrier for split, summary in summaries.items()}
    thresholds = config.barrier_threshold, config.accuracy_delta_threshold
    intervals: dict[str, Intervals] = {}
    by_intervals = None
    if config.num_resamples and path.samples is not None:
        bootstrap = Bootstrap(config.num_resamples, config.confidence, config.resamples_seed)
        intervals |= path_intervals(path.alphas, path.samples, bootstrap)
        by_intervals = connected_by_intervals(summaries, intervals, *thresholds)
    return Verdicts(
        connected(summaries, *thresholds),
        connected_by_error(errors, config.error_barrier_threshold),
        by_intervals,
        intervals,
        path.score,
        deciding_number(summaries, config, path.score),
        deciding_error(errors, config.error_barrier_threshold),
    )


def deciding_error(errors: Mapping[str, float], threshold: float) -> str:
    """Write the first error barrier that is not below the threshold, on test data first; else the first of all."""
    judged = [split for split in errors if split in JUDGED] or list(errors)
    judged.sort(key=lambda split: split != "test")
    split = next((one for one in judged if not errors[one] < threshold), judged[0])
    return f"{split} error barrier {errors[split]:.4f}, threshold {threshold:g}"


def deciding_number(summaries: Mapping[str, PathSummary], config: PathConfig, score: str) -> str:
    """Write the split and the number that decide `connected`, as in `test barrier in basin 0.5100, threshold 0.1`.

    It is the first number beyond its threshold, on test data before training data; where there is none, the barrier on
    the first of them.
    """
    rules = (
        ("barrier_in_basin", config.barrier_threshold, "{:.4f}", "{:g}", 1),
        ("accuracy_delta", config.accuracy_delta_threshold, "{:+.2%}", "{:.0%}", -1),
    )
    found: dict[bool, str] = {}
    judged = [split for split in summaries if split in JUDGED] or list(summaries)
    for split in sorted(judged, key=lambda split: split != "test"):
        for name, threshold, form, limit, sign in rules:
            value = getattr(summaries[split], name)
            breaks = not np.isfinite(value) or sign * value > sign * threshold
            words = f"{split} {name.replace('accuracy', score).replace('_', ' ')} {form.format(value)}"
            found.setdefault(breaks, f"{words}, threshold {limit.format(threshold)}")
    return found.get(True, found.get(False, ""))
