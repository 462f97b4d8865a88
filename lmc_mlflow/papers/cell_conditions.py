"""Chooses the condition of a store that fills a printed cell, and describes it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.findings.condition_table import KEYS, key_text


def choose_condition(
    found: Mapping[str, pd.DataFrame], printed_epochs: int | None = None, min_seeds: int = 2
) -> str | None:
    """Choose the condition that fills a cell: most seeds over all policies, then most epochs, then by text.

    A condition with as many epochs as the paper comes before all others, if it has seeds enough.

    Args:
        found: batch-norm policy -> the conditions that fit the cell.
        printed_epochs: of the paper; None: it does not say.
        min_seeds: fewer than this are no data yet.

    Returns:
        Its text, or None where no condition fits.
    """
    together = pd.concat(list(found.values()))
    if together.empty:
        return None
    best = together.groupby("condition").agg(n=("n", "sum"), epochs=("epochs", "first"), scaling=("normalization", min))
    best["epochs"] = pd.to_numeric(best["epochs"], errors="coerce").fillna(0)
    best["as_printed"] = (best["epochs"] == printed_epochs) & (best["n"] >= min_seeds)
    by, ascending = ["as_printed", "n", "scaling", "epochs", "condition"], [False, False, True, False, True]
    best = best.reset_index().sort_values(by, ascending=ascending)
    return str(best["condition"].iloc[0])


def condition_words(row: "pd.Series[Any]", leave_out: Sequence[str]) -> str:
    """Describe what a paper leaves open and this condition fixes: epochs always, the rest where it is not the default.

    Args:
        row: a condition.
        leave_out: settings that are named elsewhere.
    """
    known = parameters(TrainPairConfig)
    words = [f"{int(row['epochs'])} epochs"] if row["epochs"] != "" else []
    words += [str(row["normalization"])] if row["normalization"] == "half" else []
    for name in KEYS:
        usual = key_text(known[name].default) if name in known else ""
        if name not in ("epochs", "augmentation", "data_digest", *leave_out) and key_text(row[name]) not in (usual, ""):
            words.append(f"{name} {key_text(row[name])}")
    return ", ".join(words)


def describe_others(found: pd.DataFrame, leave_out: Sequence[str]) -> Iterator[str]:
    """Describe the conditions that fit a cell and were not chosen, with their numbers of seeds.

    Args:
        found: these conditions.
        leave_out: settings that are named elsewhere.
    """
    for _, row in found.sort_values("condition").iterrows():
        yield f"{condition_words(row, leave_out) or 'another data set content'} (n = {row['n']})"
