"""Tells how far training went beside the accuracies and losses that the papers print, for each row of a table."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lmc_mlflow.findings.conditions import per_seed
from lmc_mlflow.papers.altintas.error_conditions import ACCEPTED_LOSS
from lmc_mlflow.papers.hepburn.training_loss_claims import NEAR
from lmc_mlflow.papers.marks import FLOAT_ROUNDING
from lmc_mlflow.papers.printed import PATH_TABLES, printed_table

REACHED, UNDERTRAINED, NO_ANCHOR, NOT_LOGGED = "reached", "undertrained", "no anchor printed", "not logged"


@dataclass(frozen=True)
class Anchor:
    """What a paper prints about the training of a row's networks.

    Attributes:
        metric: column of `query.pairs` that says how far our networks got.
        least: the lowest value that counts as reached, the margin of the printed one already taken off.
        most: the highest such value.
        words: what is printed and where.
    """

    metric: str
    least: float
    most: float
    words: str


Row = Mapping[Any, Any]
"""Settings by name: a row of a table, or of `query.pairs`."""


def anchor_of(table: str, row: Row) -> Anchor | None:
    """Return what is printed about the training of a row's networks; None where nothing is.

    Args:
        table: name of the table.
        row: settings of that row.
    """
    found = _ANCHORS.get(table)
    return found(row) if found else None


def training_state(pairs: pd.DataFrame, anchor: Anchor | None) -> tuple[str, str]:
    """Tell whether networks have reached what is printed, with the numbers in words.

    They have where their mean is within the printed values or, with twice its standard error over seeds, could be.

    Args:
        pairs: rows of `query.pairs`.
        anchor: what is printed for them; None where nothing is.

    Returns:
        One of `REACHED`, `UNDERTRAINED`, `NO_ANCHOR`, `NOT_LOGGED`; and our mean beside the printed value.
    """
    if anchor is None:
        return NO_ANCHOR, ""
    values = per_seed(pairs, anchor.metric).dropna() if anchor.metric in pairs else pd.Series(dtype=float)
    if values.empty:
        return NOT_LOGGED, anchor.words
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    mean, allowed = float(values.mean()), 2 * error + FLOAT_ROUNDING
    reached = anchor.least - allowed <= mean <= anchor.most + allowed
    shown = f"{100 * mean:.1f} %" if anchor.metric.endswith("accuracy") else f"{mean:.2f} nats"
    return (REACHED if reached else UNDERTRAINED), f"{shown} (n = {len(values)}); {anchor.words}"


def training_note(table: pd.DataFrame) -> str:
    """Count the rows whose networks have not reached what is printed for them, among those that have such an anchor.

    Args:
        table: with column trained.
    """
    states = table["trained"]
    anchored = int(states.isin([REACHED, UNDERTRAINED]).sum())
    if not anchored:
        return ""
    return (
        f"{int((states == UNDERTRAINED).sum())} of {anchored} rows with a printed anchor of training are undertrained."
    )


def _app_g(row: Row) -> Anchor | None:
    for printed in printed_table("app_g").to_dict("records"):
        if all(row[name] == printed[name] for name in printed if name != "train_accuracy_pct"):
            value = printed["train_accuracy_pct"]
            return Anchor("train/accuracy", (value - NEAR) / 100, 1.0, f"printed {value} % on training data (App. G)")
    return None


def _linear(_: Row) -> Anchor | None:
    """Return the training loss printed for linear networks; one below it has been trained further, which is enough."""
    low, high = ACCEPTED_LOSS
    return Anchor("train/loss", -math.inf, high, f"printed {low:g} to {high:g} nats on training data")


def _table_4(row: Row) -> Anchor | None:
    """Return the test accuracy printed in Table 4; of its two readings, the lower one."""
    for printed in printed_table("altintas_table_4").to_dict("records"):
        if all(row[name] == printed[name] for name in ("dataset", "layers", "lr")):
            both = dict.fromkeys((printed["accuracy_pct"], printed["accuracy_pct_by_rate"]))
            words = " or ".join(f"{value:.2f}" for value in both)
            return Anchor("test/accuracy", (min(both) - 0.005) / 100, 1.0, f"printed {words} % on test data (Table 4)")
    return None


def _minimal(row: Row) -> Anchor | None:
    """Return Table 4's accuracy for the cells of Table 2 that it has: SGD without warm-up."""
    if row["optimizer"] != "sgd" or row["warmup_epochs"]:
        return None
    return _table_4({"dataset": "mnist", "layers": 2, "lr": row["lr"]})


_ANCHORS: dict[str, Callable[[Row], Anchor | None]] = {
    **dict.fromkeys((*PATH_TABLES, "table_iii"), _app_g),
    "altintas_table_1": _linear,
    "altintas_table_2": _minimal,
    "altintas_table_4": _table_4,
}
"""Table -> the printed anchor of one of its rows."""
