"""Counts connected pairs at each cell of a phase diagram: two settings that are numbers, all others fixed."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from lmc_mlflow.findings.axes import AXES, SHIFT, kind_and_number
from lmc_mlflow.findings.condition_table import KEYS, key_text, with_columns, within_pairs
from lmc_mlflow.findings.conditions import SEEDS, describe_all, distinguishing
from lmc_mlflow.findings.sentences import is_first_policy, measured_last
from lmc_mlflow.findings.verdicts import OPEN, YES, majority

COLUMNS = ("n", "connected", "undecided", "share", "verdict", "refinement", "run_ids")
"""Of a cell, behind its panel and its values."""
BUDGET = "steps"
"""Where a training ends after so many of these, its epochs follow from its batch size."""


def phase_axes(paths: pd.DataFrame) -> list[str]:
    """List the settings along which paths have neighbours that differ in nothing else, the most usual first.

    Args:
        paths: from `query.paths`.
    """
    rows = _rows(paths)
    return [name for name in AXES if name in rows and _has_neighbours(rows, name)]


def phase_table(paths: pd.DataFrame, x: str = "lr", y: str = "batch_size") -> pd.DataFrame:
    """Count the connected pairs of each cell; panels in which an axis has one value alone are left out.

    Args:
        paths: from `query.paths`; those within pairs count, each under its first batch-norm policy.
        x: a setting that is a number, or `shift`.
        y: another one; empty: one axis alone.

    Returns:
        One row a cell: `panel` (the settings in which panels differ, in words), the two settings, `n` (pairs),
        `connected` (those whose verdict is yes), `undecided` (those whose interval does not tell), `share`
        (connected / n), `verdict` (`findings.verdicts.majority`), `refinement` (the round that has added the cell; 0:
        it was not added) and `run_ids`, by panel and values.

    Raises:
        ValueError: no such axis.
    """
    names = [name for name in (x, y) if name]
    for name in names:
        if name not in AXES:
            raise ValueError(f"{name}: no axis of a phase diagram; choose from {', '.join(AXES)}")
    rows = _rows(paths)
    if not set(names) <= set(rows):
        return pd.DataFrame(columns=["panel", *names, *COLUMNS])
    panels = [
        part
        for _, part in rows.groupby(_texts_but(rows, names), sort=True)
        if all(_numbers(part, name).nunique() > 1 for name in names)
    ]
    if not panels:
        return pd.DataFrame(columns=["panel", *names, *COLUMNS])
    kept = pd.concat(panels)
    apart = distinguishing(kept, [name for name in KEYS if name not in names])
    cells = [_cell(names, apart, part) for panel in _in_order(panels) for _, part in _by_values(panel, names)]
    return pd.DataFrame(cells, columns=["panel", *names, *COLUMNS])


def _rows(paths: pd.DataFrame) -> pd.DataFrame:
    """Select one path for each pair that has a verdict, with all settings; epochs that follow from steps are none."""
    rows = measured_last(within_pairs(paths))
    if "connected" not in rows or rows.empty:
        return rows.iloc[:0]
    rows = rows[(rows["connected"] != "") & is_first_policy(rows)].drop_duplicates("pair", keep="last")
    rows = with_columns(rows, [*KEYS, "connected_interval", "refined"])
    return rows.assign(epochs=rows["epochs"].mask(rows[BUDGET].map(key_text) != "", float("nan")))


def _numbers(rows: pd.DataFrame, name: str) -> "pd.Series[Any]":
    """Give the number of each row on an axis; NaN where it has none."""
    places = [kind_and_number(name, None if value == "" else value) for value in rows[name]]
    return pd.Series([float("nan") if place is None else place[1] for place in places], index=rows.index)


def _texts_but(rows: pd.DataFrame, names: Sequence[str]) -> "pd.Series[str]":
    """Write what rows have besides some axes as text; of a shift on an axis its kind stays."""
    columns = [rows[name].map(key_text) for name in KEYS if name not in names]
    if SHIFT in names:
        places = [kind_and_number(SHIFT, value) for value in rows[SHIFT]]
        columns.append(pd.Series(["" if place is None else place[0] for place in places], index=rows.index))
    return pd.Series(["|".join(parts) for parts in zip(*columns, strict=True)], index=rows.index)


def _has_neighbours(rows: pd.DataFrame, name: str) -> bool:
    numbers = _numbers(rows, name)
    return bool(len(rows) and (numbers.groupby(_texts_but(rows, [name])).nunique() > 1).any())


def _by_values(rows: pd.DataFrame, names: Sequence[str]) -> Any:
    numbers = [_numbers(rows, name) for name in names]
    return rows.groupby(numbers, sort=True)


def _in_order(panels: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """Sort panels whose shifts are of one kind by their severity."""

    def rank(panel: pd.DataFrame) -> tuple[str, float]:
        return kind_and_number(SHIFT, panel[SHIFT].iloc[0]) or (str(panel[SHIFT].iloc[0]), 0.0)

    return sorted(panels, key=rank)


def _cell(names: Sequence[str], apart: Sequence[str], rows: pd.DataFrame) -> list[Any]:
    own = [name for name in SEEDS if name in rows]
    rows = rows.drop_duplicates(own, keep="last") if own else rows
    first, verdicts = rows.iloc[0], list(zip(rows["connected"], rows["connected_interval"].fillna(""), strict=True))
    connected = sum(verdict == YES for verdict, _ in verdicts)
    undecided = sum(by_interval == OPEN for _, by_interval in verdicts)
    rounds = pd.to_numeric(rows["refined"], errors="coerce").fillna(0)
    label = ", ".join(describe_all(apart, [first[name] for name in apart]))
    counts = [len(rows), connected, undecided, connected / len(rows), majority(verdicts), int(rounds.min())]
    return [label, *(first[name] for name in names), *counts, " ".join(sorted(rows["run_id"]))]
