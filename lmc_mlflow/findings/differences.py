"""Differences between the means of two samples, with their standard errors."""

import math
from typing import Any

import pandas as pd

RULE = "A difference counts where it exceeds twice its standard error."


def direction(difference: float, error: float) -> int | None:
    """Tell which way a difference points.

    Args:
        difference: of two means.
        error: its standard error, in the same unit; NaN where it is unknown.

    Returns:
        1 where the difference is positive and exceeds twice its standard error, -1 where it is negative and does,
        0 where it does not exceed it, None where the error is unknown.
    """
    if math.isnan(error):
        return None
    if abs(difference) <= 2 * error:
        return 0
    return 1 if difference > 0 else -1


def difference(first: "pd.Series[Any]", second: "pd.Series[Any]") -> tuple[float, float]:
    """Compute how much larger the first mean is, and the standard error of that (Welch); NaN where n is 1."""
    error = math.sqrt(first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second))
    return float(first.mean() - second.mean()), error


def mean_text(values: "pd.Series[Any]", decimals: int, unit: str = "", noun: str = "") -> str:
    """Format the mean and the sample standard deviation with their unit and n, as in `0.12 ± 0.03 (n = 5)`.

    Args:
        values: the sample.
        decimals: digits after the point.
        unit: written after the deviation, with its space.
        noun: what one value is, in the singular; empty: only the number is written.
    """
    number = f" {noun}{'s' if len(values) > 1 else ''}" if noun else ""
    deviation = f" ± {values.std(ddof=1):.{decimals}f}" if len(values) > 1 else ""
    return f"{values.mean():.{decimals}f}{deviation}{unit} (n = {len(values)}{number})"
