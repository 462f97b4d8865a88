"""Judges the path as it is, and says which of its numbers there is to explain."""

import math
from dataclasses import dataclass

import numpy as np

from lmc_mlflow.diagnosis.treated_paths import BARRIER, ERROR, IN_BASIN, NONE, TEST, TRAINING, TreatedPaths, interval
from lmc_mlflow.paths.barriers import Values, judge
from lmc_mlflow.paths.interval_verdict import Reading
from lmc_mlflow.predictions.ensembles import Interval


@dataclass(frozen=True)
class Rules:
    """When a number counts as a barrier.

    Attributes:
        barrier: threshold of losses, nats.
        accuracy_delta: threshold, a fraction, 0 or below.
        confidence: share of the resamples that an interval holds.
    """

    barrier: float = 0.1
    accuracy_delta: float = -0.06
    confidence: float = 0.95


@dataclass(frozen=True)
class Symptom:
    """What there is to explain.

    Attributes:
        answer: the verdict by intervals: yes, no, apparent or undecided.
        what: the number to explain, a field of `PathSummary`; None: there is nothing, or it is undecided.
        split: `test` or `training`.
        threshold: above which the number is a barrier.
        reading: the number that decided.
        barrier: the barrier over the mean of both ends on the test images (1 + R,).
    """

    answer: str
    what: str | None
    split: str
    threshold: float
    reading: Reading
    barrier: Values


def find_symptom(paths: TreatedPaths, rules: Rules) -> Symptom:
    """Judge the path between the networks as they are, on test and on training images.

    There is something to explain where the path breaks by intervals, and where the barrier over the mean of both ends
    is surely above the threshold: an end that is much worse than the other breaks no basin, and yet needs a reason.
    """
    splits = [TEST, *([TRAINING] if paths.treatable.subject.own_training else [])]
    readings = {split: _readings(paths, split, rules) for split in splits}
    broken = {split: _breaks(own) for split, own in readings.items()}
    answer = judge({{TRAINING: "train_a"}.get(split, split): breaks for split, breaks in broken.items()})
    barrier = paths.rows()[BARRIER]
    low, _ = interval(barrier, rules.confidence)
    split = TRAINING if answer == "apparent" else TEST
    wanted = {"no": True, "apparent": True, "yes": False, "undecided": None}[answer]
    deciding = [reading for own in (readings[split], *readings.values()) for reading in own if reading.breaks is wanted]
    said = deciding[0]
    if split == TEST and low > rules.barrier:
        return Symptom(answer, BARRIER, TEST, rules.barrier, said, barrier)
    if answer in ("yes", "undecided"):
        return Symptom(answer, None, TEST, rules.barrier, said, barrier)
    if said.name == IN_BASIN:
        return Symptom(answer, IN_BASIN, split, rules.barrier, said, barrier)
    return Symptom(answer, ERROR, split, -rules.accuracy_delta, said, barrier)


def _readings(paths: TreatedPaths, split: str, rules: Rules) -> list[Reading]:
    rows = paths.rows(NONE, split)
    thresholds = {IN_BASIN: rules.barrier, "accuracy_delta": rules.accuracy_delta}
    return [
        Reading(split, name, Interval(float(rows[name][0]), *interval(rows[name], rules.confidence)), threshold)
        for name, threshold in thresholds.items()
        if not np.isnan(rows[name][0]) or name == IN_BASIN
    ]


def _breaks(readings: list[Reading]) -> bool | None:
    answers = [reading.breaks for reading in readings]
    return True if True in answers else None if None in answers else False


def images_needed(paths: TreatedPaths, split: str, number: Interval, threshold: float) -> str:
    """Say how many images would decide on which side of a threshold a number lies.

    The width of an interval falls with the square root of the number of images.

    Args:
        paths: measured.
        split: of the number.
        number: with its interval.
        threshold: that it is held against.
    """
    now = paths.samples(split=split).plain.losses.shape[1]
    width, distance = (number.high - number.low) / 2, abs(number.value - threshold)
    if not np.isfinite(width) or distance == 0:
        return f"more {split} images than the {now} there are"
    needed = math.ceil(now * max(1.0, width / distance) ** 2 * 1.1)
    return f"about {needed} {split} images instead of {now}"
