"""Groups logged ensembles that repeat one another, and matches those of paths with those of seeds."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from lmc_mlflow.findings.condition_table import (
    KEYS,
    condition_texts,
    with_columns,
)
from lmc_mlflow.findings.conditions import per_ensemble, plain_rows
from lmc_mlflow.models.families import has_batch_norm


@dataclass(frozen=True)
class EnsembleGroup:
    """Ensembles of one condition, sampling, size and batch-norm policy; `n` counts pairs, or sets of seeds."""

    rows: pd.DataFrame
    n: int

    def scores(self, name: str) -> "pd.Series[Any]":
        """Average one score for each pair or set of seeds."""
        return per_ensemble(self.rows, name).dropna() if name in self.rows else pd.Series(dtype=float)

    @property
    def run_ids(self) -> list[str]:
        """List the ensembles' runs."""
        return sorted(self.rows["run_id"])


EMPTY = EnsembleGroup(pd.DataFrame(columns=["run_id"]), 0)


def comparable_ensembles(ensembles: pd.DataFrame) -> pd.DataFrame:
    """Select the ensembles of members of equal settings whose pairs have one initialization.

    Column `condition` is added: all settings as a text.
    """
    ensembles = plain_rows(ensembles)
    rows = with_columns(ensembles, (*KEYS, "init", "bn", "sampling", "num_members"))
    rows = rows[rows["init"] != "different"] if len(rows) else rows
    return rows.assign(condition=condition_texts(rows))


def select_sampling(rows: pd.DataFrame, sampling: str, policy: str) -> pd.DataFrame:
    """Select the ensembles of one sampling; points of a path under one policy, where the network has batch norm."""
    if rows.empty:
        return rows
    rows = rows[rows["sampling"] == sampling]
    if sampling == "seeds" or rows.empty:
        return rows
    return rows[(rows["bn"] == policy) | ~rows["model"].map(has_batch_norm)]


def by_size(rows: pd.DataFrame) -> dict[int, EnsembleGroup]:
    """Group ensembles by their number of members."""
    if rows.empty:
        return {}
    groups = {size: rows[rows["num_members"] == size] for size in sorted({int(n) for n in rows["num_members"]})}
    return {size: EnsembleGroup(part, len(per_ensemble(part, "num_members"))) for size, part in groups.items()}


def best_size(groups: dict[int, EnsembleGroup], wanted: int | None = None) -> int | None:
    """Choose the size with most ensembles, the larger of equals; where one is wanted, the nearest to it."""
    if not groups:
        return None
    if wanted is not None:
        return min(groups, key=lambda size: (abs(size - wanted), size))
    return max(groups, key=lambda size: (groups[size].n, size))


def match_sizes(rows: pd.DataFrame, policy: str) -> tuple[EnsembleGroup, EnsembleGroup]:
    """Choose ensembles of paths and ensembles of seeds of one condition whose sizes are as near as possible.

    Args:
        rows: ensembles of one condition.
        policy: what is done with batch norm's running statistics on the path.

    Returns:
        Points of paths, then seeds; either may be empty.
    """
    seeds, lmc = by_size(select_sampling(rows, "seeds", policy)), by_size(select_sampling(rows, "lmc", policy))
    shared = {size: group for size, group in seeds.items() if size in lmc}
    size = best_size(shared or seeds)
    other = best_size(lmc, size)
    return (lmc[other] if other is not None else EMPTY), (seeds[size] if size is not None else EMPTY)
