"""Groups the rows of a table by condition, each with its label and style in a figure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lmc_mlflow.findings.conditions import (
    CONDITIONS,
    PLAIN,
    SEEDS,
    counted,
    describe_all,
    distinguishing,
    has_learnt,
    mixed_settings,
    per_seed,
    unusual,
)
from lmc_mlflow.models.names import in_natural_order
from lmc_mlflow.plots.style import group_style
from lmc_mlflow.query.mixtures import MIXTURE

COMMON = ("dataset", "model", "shift", "normalization", "noise", "lr", "batch_size", "epochs")
MOST = 8
"""More curves than this cannot be told apart in one figure: there are as many colours."""


@dataclass(frozen=True)
class Group:
    """Rows of one condition.

    Attributes:
        label: the settings in which the condition differs from the others of the table.
        rows: the rows.
        style: colour, line and marker.
    """

    label: str
    rows: pd.DataFrame
    style: dict[str, Any]


def with_sides(frame: pd.DataFrame) -> pd.DataFrame:
    """Add column `sides`, such as `A-B`, to a table of paths."""
    if {"side_a", "side_b"} <= set(frame):
        return frame.assign(sides=frame["side_a"].astype(str) + "-" + frame["side_b"].astype(str))
    return frame


def groups_of(
    frame: pd.DataFrame,
    by: Sequence[str] | None = None,
    leave_out: Sequence[str] = (),
    always: Sequence[str] = (),
) -> list[Group]:
    """Group the rows of a table by condition, in the order of the settings' values.

    Args:
        frame: a table of `query`.
        by: columns that make a condition; None: every setting in which the rows differ. The label of a condition that
            mixes others names the settings that it mixes.
        leave_out: columns that make none, an axis for example.
        always: columns that are named in the label even where all rows have the same value.

    Raises:
        ValueError: a column that the frame does not have.
    """
    frame = with_sides(frame)
    candidates = [name for name in CONDITIONS if name not in (*leave_out, *always)]
    names = list(by) if by is not None else distinguishing(frame, candidates)
    names += [name for name in always if name in frame and name not in names]
    if by is None:
        names.sort(key=CONDITIONS.index)
    absent = [name for name in names if name not in frame]
    if absent:
        raise ValueError(f"by={','.join(absent)}: no such column; there are {', '.join(map(str, frame.columns))}")
    if not names:
        return [Group(label=common(frame, COMMON[:2]) or "all", rows=frame, style=group_style(0))]
    ranks = [_ranks(frame[name]) for name in names]
    found = sorted(
        frame.groupby(names, dropna=False, sort=False),
        key=lambda part: [rank.get(value, len(rank)) for rank, value in zip(ranks, part[0], strict=True)],
    )
    return [
        Group(
            label=", ".join([*describe_all(names, key), *mixed(rows, candidates if by else ())]),
            rows=rows,
            style=group_style(i),
        )
        for i, (key, rows) in enumerate(found)
    ]


def _ranks(values: "pd.Series[Any]") -> dict[Any, int]:
    """Rank the values of a column: numbers, then texts, in which width 16 comes after width 4; nothing comes last."""
    known = values.dropna().unique().tolist()
    texts = [value for value in known if isinstance(value, str)]
    order = [*sorted(value for value in known if not isinstance(value, str)), *in_natural_order(texts)]
    return {value: rank for rank, value in enumerate(order)}


def mixed(rows: pd.DataFrame, candidates: Sequence[str], given: Sequence[str] = ()) -> list[str]:
    """Name in a list the settings that rows of one condition mix; an empty list where they mix none.

    Args:
        rows: of the condition.
        candidates: settings that may be mixed.
        given: settings in which the rows may differ.
    """
    found = distinguishing(rows, candidates, [name for name in given if name in rows])
    found = [name for name in found if name not in MIXTURE]  # the settings that they name are in the list
    return [f"mixes {' and '.join(found)}"] if found else []


def learnt_only(rows: pd.DataFrame, split: str = "test") -> tuple[pd.DataFrame, str]:
    """Select the paths of conditions whose networks have learnt (`conditions.has_learnt`), and count the others.

    A condition is kept or left out as a whole, by the mean accuracy of its networks: to leave out single seeds by
    their outcome would bias what is drawn.

    Returns:
        The paths, and a note for the title where some were left out.
    """
    accuracy = f"{split}/path_accuracy"
    if accuracy not in rows or rows.empty:
        return rows, ""
    names = distinguishing(with_sides(rows), [name for name in CONDITIONS if name != "bn"])
    means = (
        with_sides(rows).groupby(names, dropna=False)[accuracy].transform("mean") if names else rows[accuracy].mean()
    )
    learnt = has_learnt(rows.assign(**{accuracy: means}), accuracy)
    num_left_out = int((~learnt).sum())
    note = f"\n{counted(num_left_out, 'path')} of networks that have not learnt left out" if num_left_out else ""
    return rows[learnt], note


def readable(groups: Sequence[Group]) -> tuple[Sequence[Group], str]:
    """Return the first `MOST` groups, and a note for the title where some were left out."""
    if len(groups) <= MOST:
        return groups, ""
    return groups[:MOST], f"\nthe first {MOST} of {len(groups)} conditions; the others are not drawn"


def common(frame: pd.DataFrame, names: Sequence[str] = COMMON) -> str:
    """Name the settings that all rows of a table share, and what is not plain in all of them (`conditions.PLAIN`).

    A setting in which the ends of one of the paths differ is shared by none, unless all paths have these two ends.
    """
    mixed_in = mixed_settings(frame)
    shared = [name for name in names if name in frame and frame[name].nunique(dropna=False) == 1]
    found = [*(name for name in shared if name not in (*mixed_in, *PLAIN)), *unusual(frame)]
    return ", ".join(describe_all(found, [frame[name].iloc[0] for name in found]))


def titled(title: str, frame: pd.DataFrame, note: str = "") -> str:
    """Add a line to a figure's title: the settings that all its rows share."""
    shared = common(frame)
    return title + (f"\n{shared}" if shared else "") + note


def num_text(rows: pd.DataFrame, noun: str) -> str:
    """Write how many seeds there are, and how many runs where that is another number: `n = 5 seeds, 10 networks`."""
    num_runs = int(rows["run_id"].nunique()) if "run_id" in rows else len(rows)
    keys = [name for name in SEEDS if name in rows]
    if not keys:
        return f"n = {counted(num_runs, noun)}"
    num_seeds = len(rows[keys].drop_duplicates())
    paired = {"seed_a", "seed_b"} <= set(rows) and bool((rows["seed_a"] != rows["seed_b"]).any())
    seeds = "n = " + (f"{counted(num_seeds, 'pair')} of seeds" if paired else counted(num_seeds, "seed"))
    return seeds if num_runs == num_seeds else f"{seeds}, {counted(num_runs, noun)}"


def over_seeds(rows: pd.DataFrame, value: str, along: str) -> pd.DataFrame:
    """Compute mean and sample standard deviation of a value over seeds, wherever every seed has one.

    Runs of one seed are averaged first, so that a repeated run does not count twice.

    Args:
        rows: of one condition.
        value: the column to describe.
        along: the column to describe it along, such as alpha or epoch.

    Returns:
        Columns `along`, mean, deviation (NaN where n is 1), n; in the order of `along`.
    """
    values = per_seed(rows, value, [along]).dropna()
    table: pd.DataFrame = values.groupby(level=along).agg(mean="mean", deviation="std", n="count").reset_index()
    shared = table["n"] == table["n"].max()
    complete: pd.DataFrame = table.loc[shared].reset_index(drop=True)
    return complete


def by_dataset(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the name and the rows of each data set: only within one can losses and accuracies be compared."""
    for name, rows in frame.groupby("dataset", sort=True):
        yield str(name), rows
