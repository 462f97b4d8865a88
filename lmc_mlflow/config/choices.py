"""How is a name looked up, and what is said when there is no such name?"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

Row = TypeVar("Row")


def unknown_name(what: str, name: str, choices: Iterable[str]) -> ValueError:
    """The error for a name that is not among the choices: lists them and the nearest one."""
    known = sorted(choices)
    near = get_close_matches(name, known, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return ValueError(f"{what} {name!r} is unknown{hint}; choose from {', '.join(known)}")


def lookup(table: Mapping[str, Row], name: str, what: str) -> Row:
    """The row of a table.

    Raises:
        ValueError: there is no such row; the message lists the rows there are.
    """
    if name not in table:
        raise unknown_name(what, name, table)
    return table[name]
