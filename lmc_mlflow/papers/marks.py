"""Marks that say how a measured number compares with a printed one."""

import math
from dataclasses import dataclass

AGREES = "agrees"
SAME = "same conclusion"
DIFFERS = "differs"
NO_DATA = "no data yet"
MARKS = (AGREES, SAME, DIFFERS, NO_DATA)
FLOAT_ROUNDING = 1e-12
"""Tolerance for floating-point rounding."""


@dataclass(frozen=True)
class Sample:
    """A mean, its sample deviation (NaN: unknown) and how many values it is of."""

    mean: float
    deviation: float
    n: int


def mark(ours: Sample, theirs: Sample, same_conclusion: bool, rounding: float, min_n: int) -> str:
    """Compare a measured number with a printed one.

    They agree where they differ by no more than twice the standard error of the difference, plus what
    printing rounds away. A deviation that is not printed is taken to be ours.

    Args:
        ours: measured.
        theirs: printed.
        same_conclusion: whether both lead to the same conclusion, in the words of the table.
        rounding: half a unit of the last printed digit.
        min_n: fewer measured values than this are no data yet; at least 2, one has no deviation.
    """
    if ours.n < max(2, min_n):
        return NO_DATA
    deviation = ours.deviation if math.isnan(theirs.deviation) else theirs.deviation
    error = math.sqrt(ours.deviation**2 / ours.n + deviation**2 / theirs.n)
    if abs(ours.mean - theirs.mean) <= 2 * error + rounding + FLOAT_ROUNDING:
        return AGREES
    return SAME if same_conclusion else DIFFERS
