"""Sentences of a conclusion: the rows it is about, their conditions in words, and its Markdown."""

from collections.abc import Iterator, Sequence

import pandas as pd

from lmc_mlflow.findings.conditions import describe, distinguishing

ALWAYS = ("dataset", "model", "shift")


def rows_having(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Select the rows that have a value in each of these columns; a column that is missing is added."""
    return frame.reindex(columns=list(dict.fromkeys([*frame.columns, *columns]))).dropna(subset=list(columns))


def each_condition(rows: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each condition in words, with its rows.

    Args:
        rows: a table of `query`.
        names: settings that may make a condition; of those in `ALWAYS` every one that the table has is named, of the
            others only those in which the rows differ.
    """
    kept = [name for name in names if name in ALWAYS and name in rows]
    kept += distinguishing(rows, [name for name in names if name not in kept], kept)
    if not kept:
        if len(rows):
            yield "", rows
        return
    for key, part in rows.groupby(kept, dropna=False):
        yield ", ".join(filter(None, map(describe, kept, key))), part


def markdown(heads: Sequence[str], lines: Sequence[str], note: str = "") -> str:
    """Join verdicts, the lines behind them and a note; without lines there is no note."""
    parts = [*heads, "\n".join(lines), note if lines else ""]
    return "\n\n".join(part for part in parts if part)
