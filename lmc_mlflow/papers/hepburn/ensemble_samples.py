"""Which logged ensembles repeat one another, and what are their mean scores?"""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from lmc_mlflow.findings.condition_table import (
    KEYS,
    condition_texts,
    with_columns,
)
from lmc_mlflow.findings.tally import units_of
from lmc_mlflow.models.families import has_batch_norm


@dataclass(frozen=True)
class Group:
    """Ensembles of one condition, sampling, size and batch-norm policy; `n` counts pairs, or sets of seeds."""

    rows: pd.DataFrame
    n: int

    def scores(self, name: str) -> "pd.Series[Any]":
        """One score for each pair or set of seeds."""
        return units_of(self.rows, name).dropna() if name in self.rows else pd.Series(dtype=float)

    @property
    def run_ids(self) -> list[str]:
        """The ensembles' runs."""
        return sorted(self.rows["run_id"])


NONE = Group(pd.DataFrame(columns=["run_id"]), 0)


def comparable(ensembles: pd.DataFrame) -> pd.DataFrame:
    """The ensembles whose members share an initialization scheme, with column `condition` (all settings as a text)."""
    rows = with_columns(ensembles, (*KEYS, "init", "bn", "sampling", "num_members"))
    rows = rows[rows["init"] != "different"] if len(rows) else rows
    return rows.assign(condition=condition_texts(rows))


def select(rows: pd.DataFrame, sampling: str, policy: str) -> pd.DataFrame:
    """The ensembles of one sampling; points of a path under one policy, where the network has batch norm."""
    if rows.empty:
        return rows
    rows = rows[rows["sampling"] == sampling]
    if sampling == "seeds" or rows.empty:
        return rows
    return rows[(rows["bn"] == policy) | ~rows["model"].map(has_batch_norm)]


def by_size(rows: pd.DataFrame) -> dict[int, Group]:
    """Number of members -> its ensembles."""
    if rows.empty:
        return {}
    groups = {size: rows[rows["num_members"] == size] for size in sorted({int(n) for n in rows["num_members"]})}
    return {size: Group(part, len(units_of(part, "num_members"))) for size, part in groups.items()}


def best_size(groups: dict[int, Group], wanted: int | None = None) -> int | None:
    """The size with most ensembles, the larger of equals; where one is wanted, the nearest to it."""
    if not groups:
        return None
    if wanted is not None:
        return min(groups, key=lambda size: (abs(size - wanted), size))
    return max(groups, key=lambda size: (groups[size].n, size))


def matched(rows: pd.DataFrame, policy: str) -> tuple[Group, Group]:
    """Points of paths and seeds of one condition, of sizes as near as there are; either may be empty."""
    seeds, lmc = by_size(select(rows, "seeds", policy)), by_size(select(rows, "lmc", policy))
    shared = {size: group for size, group in seeds.items() if size in lmc}
    size = best_size(shared or seeds)
    other = best_size(lmc, size)
    return (lmc[other] if other is not None else NONE), (seeds[size] if size is not None else NONE)
