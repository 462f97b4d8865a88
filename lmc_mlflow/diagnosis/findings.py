"""What a diagnosis says: its answer, the causes with their numbers, and the curves that show them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lmc_mlflow.diagnosis.causes import ANOTHER_BASIN, CAUSES
from lmc_mlflow.diagnosis.treated_paths import ERROR
from lmc_mlflow.paths.barriers import Values
from lmc_mlflow.predictions.ensembles import Interval

CONNECTED, EXPLAINED, GENUINE, UNDECIDED = "connected", "explained", "another basin", "undecided"
"""Answers: no barrier to explain; causes that explain all of it; what is left is a barrier; the images are too few."""


@dataclass(frozen=True)
class Number(Interval):
    """A number with the ends of its interval, which are nan where it has none."""

    def text(self, what: str) -> str:
        """Write it with its interval: errors in percent, losses in nats."""
        factor, unit = (100, " %") if what == ERROR else (1, "")
        form = "{:.1f}" if what == ERROR else "{:.3f}"
        value, low, high = (form.format(factor * number) for number in (self.value, self.low, self.high))
        return f"{value}{unit}" + ("" if math.isnan(self.low) else f" ({low} to {high})")


@dataclass(frozen=True)
class Finding:
    """A cause that was found.

    Attributes:
        cause: a row of `causes.CAUSES`.
        explained: what it explains of the number.
        reason: the numbers that speak for it, one sentence.
    """

    cause: str
    explained: Number
    reason: str

    @property
    def title(self) -> str:
        """What the cause is called."""
        return CAUSES[self.cause].title


@dataclass(frozen=True)
class ShownPath:
    """A path that was measured on the way: alphas (T,) and losses (T,) or errors (T,)."""

    label: str
    alphas: Values
    values: Values


@dataclass(frozen=True)
class Diagnosis:
    """What was found about two networks.

    Attributes:
        answer: one of the four answers.
        connected: the verdict on the path as it is, by intervals: yes, no, apparent or undecided.
        what: the number that is explained, a field of `PathSummary`.
        split: on which it was measured.
        whole: its value on the path as it is.
        remaining: what is left of it after all remedies that were needed.
        findings: causes, the one that explains most first.
        sentence: the answer in one or two sentences.
        would_decide: what to do to learn more; empty where nothing is open.
        curves: the paths that show it, that of the networks as they are first.
        num_paths: that were measured.
    """

    answer: str
    connected: str
    what: str
    split: str
    whole: Number
    remaining: Number
    findings: tuple[Finding, ...]
    sentence: str
    would_decide: str
    curves: tuple[ShownPath, ...]
    num_paths: int

    @property
    def causes(self) -> tuple[str, ...]:
        """Names of the causes, the one that explains most first."""
        return tuple(finding.cause for finding in self.findings)

    def metrics(self) -> Mapping[str, float]:
        """Give the numbers under the names they are logged by."""
        found = {
            "to_explain": self.whole.value,
            "unexplained": self.remaining.value,
            "num_paths": float(self.num_paths),
        }
        return found | {f"explained/{f.cause}": f.explained.value for f in self.findings if f.cause != ANOTHER_BASIN}
