"""Numbers as the pages write them."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

SURE = 0.95
"""Confidence of the intervals on the pages."""


def number(value: float, decimals: int, sign: str = "") -> str:
    """Write a number; a tie, of whatever last bit, is rounded away from zero, and zero has no minus."""
    text = f"{value + math.copysign(1e-9, value):{sign}.{decimals}f}"
    return text if text.strip("-0.") else f"{0.0:{sign}.{decimals}f}"


def either(mean: float, deviation: float, decimals: int, sign: str = "") -> str:
    """Write a mean, and the deviation that stands beside it in a table of the report if there is one."""
    text = number(mean, decimals, sign)
    return text if math.isnan(deviation) else f"{text} +- {number(deviation, decimals)}"


def spread(values: "pd.Series[float]", decimals: int, sign: str = "") -> str:
    """Write mean and sample deviation of some values; the deviation is left out where there is one value."""
    return either(float(values.mean()), float(values.std(ddof=1)), decimals, sign)


def interval(values: "Iterable[float]", decimals: int, sign: str = "") -> str:
    """Write a mean and its 95 % t interval, as in `0.37 (0.35 to 0.39)`.

    Raises:
        ValueError: there are fewer than two values, which have no interval.
    """
    low, mean, high = bounds(values)
    return f"{number(mean, decimals, sign)} ({number(low, decimals, sign)} to {number(high, decimals, sign)})"


def bounds(values: "Iterable[float]") -> tuple[float, float, float]:
    """Compute the 95 % t interval of a mean: its low end, the mean, its high end.

    Raises:
        ValueError: there are fewer than two values, which have no interval.
    """
    known = np.asarray(list(values), dtype=float)
    if len(known) < 2:
        raise ValueError(f"{len(known)} values have no interval")
    half, mean = half_width(float(known.std(ddof=1)), len(known)), float(known.mean())
    return mean - half, mean, mean + half


def half_width(deviation: float, n: int) -> float:
    """Compute half the width of the 95 % t interval of a mean of n >= 2 values from their sample deviation."""
    return float(stats.t.ppf((1 + SURE) / 2, n - 1)) * deviation / math.sqrt(n)


def holds_from(holds: "pd.Series[bool]") -> float | None:
    """Find the least place of an index of numbers from which on something holds at every place; None: nowhere."""
    first = None
    for place in sorted(holds.index, reverse=True):
        if not holds[place]:
            break
        first = float(place)
    return first


def of(yes: int, everything: int) -> str:
    """Write a count, as in `4 of 5`."""
    return f"{int(yes)} of {int(everything)}"


def joined(words: Sequence[str]) -> str:
    """Write a list in words, as in `a, b and c`."""
    return ", ".join(words[:-1]) + " and " * (len(words) > 1) + "".join(words[-1:])
