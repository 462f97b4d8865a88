"""Orders the shifts of one kind by a number in their names: how strong each is."""

import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Severity:
    """How the names of a row of the table of shifts say a number.

    Attributes:
        number: of a name that matches the row.
        name: of the shift with another number that is otherwise the same.
        is_whole: whether the numbers are whole.
        is_geometric: whether their ratios count, not their differences.
    """

    number: Callable[[re.Match[str]], float]
    name: Callable[[re.Match[str], float], str]
    is_whole: bool = False
    is_geometric: bool = False


@dataclass(frozen=True)
class Place:
    """A shift's place among those of its kind.

    Attributes:
        kind: equal for two shifts that differ in their numbers alone.
        number: of the shift.
        is_whole: whether the numbers of the kind are whole.
        is_geometric: whether their ratios count.
    """

    kind: str
    number: float
    is_whole: bool
    is_geometric: bool


def text_of(number: float) -> str:
    """Write a number as names have it: without an exponent, and without a point where it is whole."""
    return f"{number:.6f}".rstrip("0").rstrip(".")
