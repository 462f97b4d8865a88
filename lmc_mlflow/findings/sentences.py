"""Which rows does a conclusion speak of, under which name, and how is it put together?"""

from collections.abc import Iterator, Sequence

import pandas as pd

from lmc_mlflow.findings.conditions import describe, distinguishing

ALWAYS = ("dataset", "model", "shift")


def rows_having(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The rows that have all these values, with all these columns even where there is none."""
    return frame.reindex(columns=list(dict.fromkeys([*frame.columns, *columns]))).dropna(subset=list(columns))


def each_condition(rows: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each condition in words, with its rows: data set, model, shift and whatever else sets rows apart."""
    kept = [name for name in names if name in ALWAYS and name in rows]
    kept += distinguishing(rows, [name for name in names if name not in kept], kept)
    if not kept:
        if len(rows):
            yield "", rows
        return
    for key, part in rows.groupby(kept, dropna=False):
        yield ", ".join(filter(None, map(describe, kept, key))), part


def markdown(heads: Sequence[str], lines: Sequence[str], note: str = "") -> str:
    """Verdicts, the lines behind them, and the rule they follow where there are any."""
    parts = [*heads, "\n".join(lines), note if lines else ""]
    return "\n\n".join(part for part in parts if part)
