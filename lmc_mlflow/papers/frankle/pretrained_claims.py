"""Judges whether pairs that start from a pretrained network are connected at once, beside random starts."""

from collections.abc import Iterator

import pandas as pd

from lmc_mlflow.findings.comparisons import describe_condition
from lmc_mlflow.findings.condition_table import KEYS, key_text, with_columns, within_pairs
from lmc_mlflow.findings.conditions import per_seed
from lmc_mlflow.findings.differences import difference, mean_text
from lmc_mlflow.findings.evidence import ConditionTables, Evidence
from lmc_mlflow.findings.parting import PARTING
from lmc_mlflow.findings.thresholds import NEGLIGIBLE

BARRIER = "test/barrier_in_basin"
MARGIN = NEGLIGIBLE["barrier"]
DIGEST = "start_digest"
OF_START = (DIGEST, "start_head", "start_epoch")
"""Settings in which the pairs with a pretrained start differ from those that start at random."""


def pretrained_starts_are_connected(tables: ConditionTables) -> Evidence:
    """Collect evidence that sides which start from a pretrained network and part at once stay connected.

    A condition supports it where no seed is broken on test data and the barrier is lower than from random starts, all
    else equal. It contradicts it where every seed is broken, or where the barrier is higher. Where random starts have
    no barrier either, a pretrained start cannot lower it: such conditions stand beside.
    """
    evidence = Evidence()
    for random, pretrained in _conditions(tables):
        before, after = per_seed(random, BARRIER), per_seed(pretrained, BARRIER)
        if min(len(before), len(after)) < max(2, tables.min_seeds):
            continue
        holds = per_seed(pretrained.assign(holds=(pretrained["connected"] != "no").astype(float)), "holds")
        gain = difference(before, after)
        text = (
            f"{describe_condition(random.iloc[0])}: barrier {mean_text(after, 3, ' nats', 'seed')} from pretrained "
            f"weights, {mean_text(before, 3, ' nats', 'seed')} from random ones; lower by {gain.text(3)}, margin "
            f"{MARGIN:g}; connected in {int((holds == 1).sum())} of {len(holds)} seeds"
        )
        runs = (*random["run_id"], *pretrained["run_id"])
        if before.mean() <= MARGIN and (holds == 1).all():
            evidence.mention(text, runs)
        else:
            evidence.add(_way(gain.direction(MARGIN), holds), text, runs)
    return evidence


def _way(lower: int | None, holds: "pd.Series[float]") -> int | None:
    if lower is None:
        return None
    if (holds == 0).all():
        return -1
    return lower if (holds == 1).all() or lower < 0 else 0


def _conditions(tables: ConditionTables) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield the paths of random and of pretrained starts of each condition that has both."""
    if tables.frames is None:
        return
    rows = with_columns(within_pairs(tables.frames.parted), KEYS)
    if rows.empty or DIGEST not in tables.frames.parted:
        return
    rows = rows[(rows["bn"] == tables.policy) & (rows[PARTING].map(key_text).isin(("", "0")))]
    rows = rows[rows["start_epoch"].map(key_text) == ""] if "start_epoch" in rows else rows
    names = [name for name in KEYS if name not in OF_START]
    texts = ["|".join(parts) for parts in zip(*(rows[name].map(key_text) for name in names), strict=True)]
    for _, part in rows.groupby(pd.Series(texts, index=rows.index), sort=True):
        digests = part[DIGEST].map(key_text)
        random, started = part[digests == ""], part[digests != ""]
        if len(random):
            for pretrained in _by_start(started):
                yield random, pretrained


def _by_start(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """Divide pairs by their start where each start has two seeds or more; pairs with a start of their own are one."""
    if rows.empty:
        return []
    parts = [part for _, part in rows.groupby(DIGEST)]
    return parts if all(part["seed"].nunique() > 1 for part in parts) else [rows]
