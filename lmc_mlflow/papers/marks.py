"""Marks that say how a measured number compares with a printed one."""

import math

from lmc_mlflow.findings.differences import Sample
from lmc_mlflow.findings.thresholds import FLAT_BELOW

AGREES = "agrees"
SAME = "same conclusion"
DIFFERS = "differs"
NO_DATA = "no data yet"
MARKS = (AGREES, SAME, DIFFERS, NO_DATA)
FLOAT_ROUNDING = 1e-12
"""Tolerance for floating-point rounding."""
RATIO_FROM = 0.05
"""The lowest printed barrier (nats) that has a ratio: below it, two decimals hold one digit or none."""


def is_barrier(height: float) -> bool:
    """Tell whether a height (nats) is a barrier, here and in print: above `FLAT_BELOW`, and not at most that."""
    return height > FLAT_BELOW + FLOAT_ROUNDING


def ratio(ours: float, theirs: float) -> float:
    """Divide our barrier by the printed one; NaN where the printed one is below `RATIO_FROM`."""
    return ours / theirs if theirs >= RATIO_FROM else math.nan


def mark(ours: Sample, theirs: Sample, same_conclusion: bool, rounding: float, min_n: int) -> str:
    """Compare a measured number with a printed one.

    They agree where they differ by no more than twice the standard error of the difference, plus what
    printing rounds away. A deviation that is not printed is taken to be ours.

    Args:
        ours: measured; a mean that is unknown (NaN) is no data yet.
        theirs: printed.
        same_conclusion: whether both lead to the same conclusion, in the words of the table.
        rounding: half a unit of the last printed digit.
        min_n: fewer measured values than this are no data yet; at least 2, one has no deviation.
    """
    if ours.n < max(2, min_n) or math.isnan(ours.mean):
        return NO_DATA
    deviation = ours.deviation if math.isnan(theirs.deviation) else theirs.deviation
    error = math.sqrt(ours.deviation**2 / ours.n + deviation**2 / theirs.n)
    if abs(ours.mean - theirs.mean) <= 2 * error + rounding + FLOAT_ROUNDING:
        return AGREES
    return SAME if same_conclusion else DIFFERS
