"""Sentences of a conclusion: the rows it is about, their conditions in words, and its Markdown."""

from collections.abc import Iterator, Sequence

import pandas as pd

from lmc_mlflow.findings.condition_table import POLICIES
from lmc_mlflow.findings.conditions import describe_all, distinguishing, unusual
from lmc_mlflow.models.families import has_batch_norm

ALWAYS = ("dataset", "model", "shift")
_OF_ONE_PATH = ("run_a", "run_b", "pair", "align", "path", "num_alphas", "sampling", "num_members", "seed", "side")
"""Columns in which the paths, or ensembles, of one pair under several batch-norm policies are equal."""


def rows_having(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Select the rows that have a value in each of these columns; a column that is missing is added.

    Each path is taken once (`each_path_once`).
    """
    return each_path_once(
        frame.reindex(columns=list(dict.fromkeys([*frame.columns, *columns]))).dropna(subset=list(columns))
    )


def each_path_once(rows: pd.DataFrame) -> pd.DataFrame:
    """Select one row for each path of a network without batch norm, which is the same under each of `POLICIES`.

    Args:
        rows: paths or ensembles of `query`; those of networks with batch norm are kept under every policy.
    """
    if not {"bn", "model"} <= set(rows) or rows.empty:
        return rows
    same = rows["bn"].isin(POLICIES) & ~rows["model"].map(has_batch_norm).astype(bool)
    return rows[~same | is_first_policy(rows)].assign(bn=rows["bn"].mask(same, POLICIES[0]))


def measured_last(paths: pd.DataFrame) -> pd.DataFrame:
    """Select of paths between the same two networks, measured in the same way, the one that was measured last."""
    way = [name for name in ("run_a", "run_b", "align", "path", "bn") if name in paths]
    if not {"run_a", "run_b"} <= set(way):
        return paths
    in_time = paths.sort_values("start_time", kind="stable") if "start_time" in paths else paths
    return paths.loc[in_time.drop_duplicates(way, keep="last").index.sort_values()]


def is_first_policy(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Tell of each row whether no earlier one of `POLICIES` was measured on its path: such rows count a path once."""
    if "bn" not in rows:
        return pd.Series(True, index=rows.index)
    order = rows["bn"].map(lambda bn: POLICIES.index(bn) if bn in POLICIES else len(POLICIES))
    keys = [rows[name] for name in _OF_ONE_PATH if name in rows]
    return order == (order.groupby(keys, dropna=False).transform("min") if keys else order)


def each_condition(rows: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each condition in words, with its rows.

    Args:
        rows: a table of `query`.
        names: settings that may make a condition; of those in `ALWAYS` every one that the table has is named, of the
            others only those in which the rows differ, and those of `conditions.PLAIN` that are not plain.
    """
    kept = [name for name in names if name in ALWAYS and name in rows]
    kept += distinguishing(rows, [name for name in names if name not in kept], kept)
    kept += [name for name in unusual(rows) if name in names]
    if not kept:
        if len(rows):
            yield "", rows
        return
    for key, part in rows.groupby(kept, dropna=False):
        yield ", ".join(describe_all(kept, key)), part


def markdown(heads: Sequence[str], lines: Sequence[str], note: str = "") -> str:
    """Join verdicts, the lines behind them and a note; without lines there is no note."""
    parts = [*heads, "\n".join(lines), note if lines else ""]
    return "\n\n".join(part for part in parts if part)
