"""Axes of a phase diagram: settings that are numbers, how their values are spaced, and their midpoints."""

import itertools
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from lmc_mlflow.config.canonical import Parameter, parameters
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.options import GEOMETRIC
from lmc_mlflow.data.shifts.registry import place_of, shift_with

SHIFT = "shift"
"""The setting whose names have numbers: `label_2080`, `corrupt_blur_3`."""
DIGITS = 3
"""Significant digits of a midpoint that is not whole."""
OPTIONS: Mapping[str, Parameter] = {
    p.name: p for p in parameters(TrainPairConfig).values() if p.rule.identity and p.rule.axis
}
"""Options between whose values others make sense."""
AXES = ("lr", "batch_size", SHIFT, *(name for name in OPTIONS if name not in ("lr", "batch_size")))
"""All settings that can be an axis, the most usual first."""


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        name: of the setting.
        kind: of shifts, `data.shifts.severity.Place.kind`; otherwise empty.
        numbers: at least one of its values, sorted.
        is_geometric: whether ratios of its values count, not their differences.
        is_whole: whether they are whole numbers.
    """

    name: str
    kind: str
    numbers: tuple[float, ...]
    is_geometric: bool
    is_whole: bool

    def place(self, number: float) -> float:
        """Give the coordinate of a number, in which equal steps count equally."""
        return math.log10(number) if self.is_geometric else number

    def midpoint(self, low: float, high: float) -> float | None:
        """Compute the value in the middle of two; None where rounding leaves none between them."""
        middle = (self.place(low) + self.place(high)) / 2
        middle = 10**middle if self.is_geometric else middle
        middle = float(round(middle)) if self.is_whole else float(f"{middle:.{DIGITS}g}")
        return middle if low < middle < high else None

    def gaps_between(self, low: float, high: float) -> float:
        """Count how many gaps of the axis' own numbers lie between two, a part of a gap as its share in coordinates."""
        return self._index(high) - self._index(low)

    def _index(self, number: float) -> float:
        places = [self.place(one) for one in self.numbers]
        place = self.place(number)
        for index, (left, right) in enumerate(itertools.pairwise(places)):
            if place <= right:
                return index + (place - left) / (right - left)
        return float(len(places) - 1)


def kind_and_number(name: str, value: Any) -> tuple[str, float] | None:
    """Give what a value of a setting is on an axis: the kind of its axis, and its number; None where it has none."""
    if name != SHIFT:
        return None if value is None or value != value else ("", float(value))
    place = place_of(str(value))
    return None if place is None else (place.kind, place.number)


def axis_of(name: str, kind: str, numbers: Collection[float]) -> Axis:
    """Make the axis on which numbers of a setting lie.

    It is geometric where three or more positive numbers are spaced more evenly by ratios than by differences; of fewer
    numbers the setting says it.

    Args:
        name: of `AXES`.
        kind: of shifts, that of `kind_and_number`.
        numbers: at least one.
    """
    own = tuple(sorted(set(numbers)))
    if name == SHIFT:
        place = place_of(kind)
        assert place is not None, f"shifts of kind {kind!r} have no number"
        is_usual, is_whole = place.is_geometric, place.is_whole
    else:
        is_usual, is_whole = OPTIONS[name].rule.axis == GEOMETRIC, OPTIONS[name].kind in (int, int | None)
    is_geometric = own[0] > 0 and is_usual
    if own[0] > 0 and len(own) > 2:
        by_ratio, by_difference = _unevenness([math.log(one) for one in own]), _unevenness(own)
        is_geometric = by_ratio < by_difference if by_ratio != by_difference else is_usual
    return Axis(name, kind, own, is_geometric, is_whole)


def value_at(name: str, like: Any, number: float) -> Any:
    """Give the value of a setting with a number on its axis; a shift is one of the kind of `like`."""
    if name == SHIFT:
        return shift_with(str(like), number)
    return int(number) if OPTIONS[name].kind in (int, int | None) else number


def _unevenness(places: Collection[float]) -> float:
    """Compute how much the gaps between places differ: their largest over their smallest."""
    own = sorted(places)
    gaps = [right - left for left, right in itertools.pairwise(own)]
    return max(gaps) / min(gaps)
