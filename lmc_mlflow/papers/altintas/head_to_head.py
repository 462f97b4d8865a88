"""The table of batch-size comparisons: Hepburn et al. against Altintas et al., by source of noise."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from lmc_mlflow.findings.comparisons import EPOCHS, contrast, ended_by, equal_but_for
from lmc_mlflow.findings.conditions import SOURCES, noise_source
from lmc_mlflow.findings.differences import Estimate
from lmc_mlflow.findings.evidence import UNDECIDED
from lmc_mlflow.findings.thresholds import EQUIVALENT_WITHIN, NEGLIGIBLE

LOWER, NONE, HIGHER = "larger batches: lower", "no difference", "larger batches: higher"
WORDS = {1: LOWER, -1: HIGHER}
CONDITION = ("dataset", "model", "normalization", "optimizer", "lr", "epochs")
"""Settings that the table names; a row's two batch sizes have all others in common too."""


def batch_size_comparisons(conditions: pd.DataFrame) -> Iterator[tuple[str, Any, Any]]:
    """Yield a source of noise and the conditions of its smallest and largest batch, all else and the epochs equal.

    Args:
        conditions: from `error_conditions`.
    """
    rows = ended_by(conditions[conditions["init"] == "same"], EPOCHS)
    rows = rows.assign(source=[noise_source(shift, noise) for shift, noise in rows[["shift", "noise"]].to_numpy()])
    for source in SOURCES:
        for part in equal_but_for(rows[rows["source"] == source], ("batch_size",)):
            ordered = part.sort_values("batch_size")
            if ordered["batch_size"].nunique() > 1:
                yield source, ordered.iloc[0], ordered.iloc[-1]


def changes(small: Any, large: Any) -> tuple[Estimate, Estimate]:
    """Estimate how much lower error barrier (percent) and loss barrier in the basin are with the larger batch."""
    return contrast(small, large, "test"), contrast(small, large, "in_basin")


def head_to_head(conditions: pd.DataFrame, min_seeds: int) -> pd.DataFrame:
    """Compare the smallest with the largest batch, all else equal: one row a comparison.

    Args:
        conditions: from `error_conditions`.
        min_seeds: conditions with fewer seeds are left out, as are those whose networks have not learnt or are not
            `accepted`.
    """
    rows = []
    counts = conditions["learnt"].astype(bool) & conditions["accepted"].astype(bool)
    enough = conditions[(conditions["n"] >= max(2, min_seeds)) & counts]
    for source, small, large in batch_size_comparisons(enough):
        row = {"source": source} | {name: small[name] for name in CONDITION}
        row |= {"batch_small": small["batch_size"], "batch_large": large["batch_size"]}
        row |= {"n": min(small["n"], large["n"])}
        for measure, name in (("test", "error_pct"), ("in_basin", "barrier")):
            row |= {f"{name}_small": small[measure], f"{name}_large": large[measure]}
        by_error, by_loss = changes(small, large)
        row |= {"error_says": _said(by_error, "error_barrier"), "loss_says": _said(by_loss, "barrier")}
        rows.append(row | {"run_ids": " ".join((*small["run_ids"], *large["run_ids"]))})
    columns = ["source", *CONDITION, "batch_small", "batch_large", "n"]
    columns += ["error_pct_small", "error_pct_large", "barrier_small", "barrier_large", "error_says", "loss_says"]
    return pd.DataFrame(rows, columns=[*columns, "run_ids"])


def _said(found: Estimate, measure: str) -> str:
    """Say what a change means: lower, higher, none (two one-sided tests), undecided, or nothing without an error."""
    way = found.direction(NEGLIGIBLE[measure])
    if way is None:
        return ""
    none = found.no_difference(EQUIVALENT_WITHIN[measure]) == 1
    return WORDS[way] if way else NONE if none else UNDECIDED


def answer_head_to_head(table: pd.DataFrame) -> str:
    """Write one sentence for each source of noise, from the table of `head_to_head`."""
    if table.empty:
        return "**Not decided**: no two batch sizes with enough seeds were measured under one condition yet."
    lines = []
    for source in SOURCES:
        part = table[table["source"] == source]
        if len(part):
            said = [
                f"by {kind} {sum(part[column] == LOWER)} lower with the larger batch, "
                f"{sum(part[column] == HIGHER)} higher, {sum(part[column] == NONE)} without a difference, "
                f"{sum(part[column] == UNDECIDED)} undecided"
                for kind, column in (("error", "error_says"), ("loss", "loss_says"))
            ]
            noun = "comparison" if len(part) == 1 else "comparisons"
            lines.append(f"**{source}**, {len(part)} {noun}: {'; '.join(said)}.")
    return " ".join(lines)
