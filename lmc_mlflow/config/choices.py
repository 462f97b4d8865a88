"""Looks up a name in a table; the error for an unknown name lists the known ones."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

Row = TypeVar("Row")


def unknown_name(what: str, name: str, choices: Iterable[str]) -> ValueError:
    """Make the error for a name that is not among the choices; it lists them and the nearest one."""
    known = sorted(choices)
    begun = [choice for choice in known if name and choice.startswith(f"{name}_")]
    near = begun[:1] or get_close_matches(name, known, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return ValueError(f"{what} {name!r} is unknown{hint}; choose from {', '.join(known)}")


def lookup(table: Mapping[str, Row], name: str, what: str) -> Row:
    """Return the row of a table.

    Raises:
        ValueError: there is no such row; the message lists the names that there are.
    """
    if name not in table:
        raise unknown_name(what, name, table)
    return table[name]
