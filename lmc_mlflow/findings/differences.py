"""Means, differences of means and other contrasts of samples, with their t intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy.stats import t as student

from lmc_mlflow.findings.thresholds import CONFIDENCE, MIN_SEEDS_FOR_NO_DIFFERENCE

RULE = f"A difference counts where its {CONFIDENCE:.0%} t interval over seeds leaves out zero."


@dataclass(frozen=True)
class Sample:
    """A mean, its sample deviation (NaN: unknown), and how many values it is of."""

    mean: float
    deviation: float
    n: int


@dataclass(frozen=True)
class Estimate:
    """A number estimated from samples.

    Attributes:
        value: the mean, or the contrast of means.
        error: its standard error; NaN where a deviation is unknown.
        freedom: degrees of freedom (Welch and Satterthwaite).
        n: values in the smallest of the samples.
    """

    value: float
    error: float
    freedom: float
    n: int

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Compute the t interval; both limits are NaN where the error is unknown."""
        if self.error == 0:
            return self.value, self.value
        half = float(student.ppf((1 + confidence) / 2, self.freedom)) * self.error
        return self.value - half, self.value + half

    def direction(self, negligible: float = 0.0) -> int | None:
        """Tell which way a difference points.

        Args:
            negligible: a difference up to this is of no consequence, however certain.

        Returns:
            1 where it is positive, -1 where it is negative; 0 where its interval holds zero or it is negligible; None
            where its error is unknown.
        """
        low, high = self.interval()
        if math.isnan(low):
            return None
        if low <= 0 <= high or abs(self.value) <= negligible:
            return 0
        return 1 if self.value > 0 else -1

    def limits(self) -> tuple[float, float]:
        """Compute the interval; where the error is unknown the value alone, twice."""
        low, high = self.interval()
        return (self.value, self.value) if math.isnan(low) else (low, high)

    def side(self, threshold: float) -> int | None:
        """Tell on which side of a threshold the whole interval lies.

        Returns:
            1 above, -1 at most at it, 0 on both sides; None: the value is unknown. Where the error is unknown the value
            alone decides.
        """
        low, high = self.limits()
        if math.isnan(low):
            return None
        return 1 if low > threshold else -1 if high <= threshold else 0

    def no_difference(self, margin: float) -> int | None:
        """Test the claim that a difference is smaller than a margin.

        Returns:
            1 where two one-sided t tests reject a difference of the margin either way, with at least
            `MIN_SEEDS_FOR_NO_DIFFERENCE` values in each sample; -1 where the whole interval lies beyond the margin;
            0 where neither is so; None where the error is unknown.
        """
        low, high = self.interval()
        if math.isnan(low):
            return None
        if low > margin or high < -margin:
            return -1
        inner_low, inner_high = self.interval(2 * CONFIDENCE - 1)
        is_small = -margin < inner_low and inner_high < margin
        return 1 if is_small and self.n >= MIN_SEEDS_FOR_NO_DIFFERENCE else 0

    def text(self, decimals: int, unit: str = "") -> str:
        """Format value and interval as in `-0.12 [-0.20, -0.04] nats`."""
        low, high = self.interval()
        return f"{self.value:.{decimals}f} {interval_text(low, high, decimals)}{unit}"


def interval_text(low: float, high: float, decimals: int) -> str:
    """Format an interval as in `[0.08, 0.16]`; `[unknown]` where it is."""
    return "[unknown]" if math.isnan(low) else f"[{low:.{decimals}f}, {high:.{decimals}f}]"


def contrast_of(weights: Sequence[float], samples: Sequence[Sample]) -> Estimate:
    """Estimate a weighted sum of means.

    Weights 1 and -1 give Welch's difference of two means, weights 1, -1, -1, 1 a difference of differences.

    Args:
        weights: one for each sample.
        samples: independent of one another.
    """
    value = sum(weight * sample.mean for weight, sample in zip(weights, samples, strict=True))
    n = min(sample.n for sample in samples)
    if n < 2:
        return Estimate(value, math.nan, math.nan, n)
    parts = [weight**2 * sample.deviation**2 / sample.n for weight, sample in zip(weights, samples, strict=True)]
    variance = sum(parts)
    spread = sum(part**2 / (sample.n - 1) for part, sample in zip(parts, samples, strict=True))
    return Estimate(value, math.sqrt(variance), variance**2 / spread if spread else math.nan, n)


def sample_of(values: "pd.Series[Any]") -> Sample:
    """Summarize the known ones of these values."""
    known = values.dropna()
    return Sample(float(known.mean()), float(known.std(ddof=1)), len(known))


def difference(first: "pd.Series[Any]", second: "pd.Series[Any]") -> Estimate:
    """Estimate how much larger the first mean is (Welch)."""
    return contrast_of((1, -1), (sample_of(first), sample_of(second)))


def mean_of(values: "pd.Series[Any]") -> Estimate:
    """Estimate a mean, such as that of paired differences."""
    return contrast_of((1,), (sample_of(values),))


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
