"""The table that a run of the campaign prints: what was tried, with which input, what happened, whether it held.

A case calls `judge(what, given, happened, held)` once or more; a row that does not hold fails the case.
"""

from collections.abc import Callable
from typing import Any

import pytest

Judge = Callable[[str, object, object, bool], None]
COLUMNS = ("what", "input", "happened", "held")
WIDTHS = (40, 44, 60, 4)
"""Characters of a column; a longer text is cut."""
_KEY = "campaign"


@pytest.fixture
def judge(record_property: Callable[[str, object], None]) -> Judge:
    """Give the function that adds a row to the table and fails where the row does not hold."""

    def add(what: str, given: object, happened: object, held: bool) -> None:
        row = [" ".join(str(text).split()) for text in (what, given, happened, "yes" if held else "NO")]
        record_property(_KEY, row)  # also reaches the process that prints, where tests run in several
        assert held, f"{what}, {given}: {happened}"

    return add


def print_table(terminalreporter: Any) -> None:
    """Print the table, where there are rows."""
    reports = [r for found in terminalreporter.stats.values() for r in found if getattr(r, "when", "") == "call"]
    rows = [row for report in reports for key, row in report.user_properties if key == _KEY]
    if rows:
        terminalreporter.section("campaign")
        for row in (COLUMNS, *sorted(rows)):
            terminalreporter.write_line(" | ".join(_cell(*pair) for pair in zip(row, WIDTHS, strict=True)))
        terminalreporter.write_line(f"{sum(row[-1] == 'yes' for row in rows)} of {len(rows)} held")


def _cell(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else f"{text[: width - 1]}…"
