"""Barriers by the epoch after which the sides of a pair part, and the epoch from which on they stay connected."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lmc_mlflow.findings.condition_table import KEYS, key_text, with_columns, within_pairs
from lmc_mlflow.findings.differences import Estimate, mean_of

PARTING = "shared_epochs"
"""Setting that says after how many epochs the sides part."""


@dataclass(frozen=True)
class Parting:
    """Paths of one condition whose sides part after different numbers of epochs.

    Attributes:
        rows: a row a path, with the number as column `shared_epochs`.
        without: settings that the condition leaves free besides.
    """

    rows: pd.DataFrame
    without: tuple[str, ...] = ()

    def connected_from(self) -> "pd.Series[Any]":
        """Find for each seed the smallest measured number of epochs from which on no path is broken on test data.

        Networks that part after their last epoch are one network, so that this is the number where all measured paths
        but those are broken.
        """
        found = {}
        for seed, rows in self.rows.groupby("seed"):
            broken = max(rows.loc[rows["connected"] == "no", PARTING], default=-1)
            later = rows.loc[rows[PARTING] > broken, PARTING].tolist()
            found[seed] = min(later) if later else int(pd.to_numeric(rows["epochs"]).max())
        return pd.Series(found, dtype=float)

    def estimate(self) -> Estimate:
        """Estimate the mean over seeds of that number, with its t interval."""
        return mean_of(self.connected_from())


def partings(paths: pd.DataFrame, policy: str = "", free: Sequence[str] = ()) -> Iterator[Parting]:
    """Yield the paths of each condition that has two or more numbers of shared epochs.

    Args:
        paths: from `query.paths`.
        policy: batch-norm policy of the paths; empty: any.
        free: further settings in which the rows of a condition may differ.
    """
    rows = with_columns(within_pairs(paths), KEYS)
    if rows.empty or PARTING not in paths:
        return
    rows = rows[rows["bn"] == policy] if policy else rows
    rows = rows.assign(**{PARTING: pd.to_numeric(rows[PARTING], errors="coerce").fillna(0).astype(int)})
    names = [name for name in KEYS if name not in (PARTING, *free)]
    texts = ["|".join(parts) for parts in zip(*(rows[name].map(key_text) for name in names), strict=True)]
    for _, part in rows.groupby(pd.Series(texts, index=rows.index), sort=True):
        if part[PARTING].nunique() > 1:
            yield Parting(part, tuple(free))
