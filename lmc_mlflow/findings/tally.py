"""Which way do the numbers point? Comparisons counted for and against a claim, by twice their standard error."""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

RULE = "A difference counts where it exceeds twice its standard error."


@dataclass
class Tally:
    """How many comparisons of at least two values each speak for a claim, against it, or for neither."""

    supporting: int = 0
    contradicting: int = 0
    undecided: int = 0

    def verdict(self, claim: str, need: str) -> str:
        """The claim with its verdict; where there is nothing to count, what is needed.

        Args:
            claim: a sentence without its full stop.
            need: how much more, and the command that gives it.
        """
        number = self.supporting + self.contradicting + self.undecided
        if not number:
            return f"**{claim}: not enough runs yet**; {need}"
        counted = f"{number} condition{'s' if number > 1 else ''}"
        if self.supporting == number:
            return f"**{claim}: supported** by {counted}."
        if self.contradicting == number:
            return f"**{claim}: contradicted** by {counted}."
        if self.undecided == number:
            return f"**{claim}: undecided** after {counted}."
        return (
            f"**{claim}: it depends.** Among {counted}, {self.supporting} for it, {self.contradicting} against, "
            f"{self.undecided} undecided."
        )

    def count(self, difference: float, error: float) -> None:
        """Add a comparison; the claim is that the difference is positive. An unknown error counts as nothing."""
        way = direction(difference, error)
        self.supporting += way == 1
        self.contradicting += way == -1
        self.undecided += way == 0


def direction(difference: float, error: float) -> int | None:
    """1 where a difference is positive beyond twice its standard error, -1 negative, 0 neither; None: error unknown."""
    if math.isnan(error):
        return None
    if abs(difference) <= 2 * error:
        return 0
    return 1 if difference > 0 else -1


def spread(values: "pd.Series[Any]", decimals: int, unit: str = "", noun: str = "") -> str:
    """Mean and sample standard deviation with their unit and n."""
    counted = f" {noun}{'s' if len(values) > 1 else ''}" if noun else ""
    deviation = f" ± {values.std(ddof=1):.{decimals}f}" if len(values) > 1 else ""
    return f"{values.mean():.{decimals}f}{deviation}{unit} (n = {len(values)}{counted})"


def difference(first: "pd.Series[Any]", second: "pd.Series[Any]") -> tuple[float, float]:
    """How much larger the first mean is, and its standard error (Welch): NaN where a sample has one value."""
    error = math.sqrt(first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second))
    return float(first.mean() - second.mean()), error


def units_of(ensembles: pd.DataFrame, value: str) -> "pd.Series[Any]":
    """One value for each pair or set of seeds: several samplings of one path do not count twice."""
    keys = [name for name in ("pair", "seed", "side") if name in ensembles]
    return ensembles.groupby(keys, dropna=False)[value].mean() if keys else ensembles[value]
