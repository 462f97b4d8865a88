"""Lays out tables for a terminal, and paints words that a pipe gets without paint."""

import os
import re
from collections.abc import Sequence
from typing import TextIO

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_PAINT = re.compile(r"\x1b\[\d+m")
VERDICTS = {"yes": "green", "no": "red", "apparent": "yellow", "undecided": "yellow"}
"""Colour of each verdict."""


def paint(text: str, colour: str) -> str:
    """Put a text between the codes of a colour."""
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


def paint_verdict(answer: str) -> str:
    """Paint a verdict; other words stay as they are."""
    return paint(answer, VERDICTS[answer]) if answer in VERDICTS else answer


def strip_paint(text: str) -> str:
    """Remove the codes of colours."""
    return _PAINT.sub("", text)


def takes_paint(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal that shows colours; `NO_COLOR` (no-color.org) says that none are wanted."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay rows out in columns: the first to the left, the others to the right, two spaces before and between.

    Args:
        header: names of the columns.
        rows: cells, as many as there are names; they may hold paint.
    """
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(strip_paint(row[i])) for row in cells) for i in range(len(header))]
    lines = []
    for row in cells:
        padding = [" " * (width - len(strip_paint(cell))) for cell, width in zip(row, widths, strict=True)]
        told = [row[0] + padding[0], *(p + cell for p, cell in zip(padding[1:], row[1:], strict=True))]
        lines.append(("  " + "  ".join(told)).rstrip())
    return [paint(lines[0], "dim"), *lines[1:]]
