"""Comparisons of conditions that are equal in all settings but one."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd

from lmc_mlflow.findings.condition_table import KEYS, key_text
from lmc_mlflow.findings.conditions import describe
from lmc_mlflow.findings.differences import direction
from lmc_mlflow.findings.evidence import ConditionTables, Evidence
from lmc_mlflow.findings.families import Architecture, architecture
from lmc_mlflow.findings.thresholds import NEGLIGIBLE

Condition = Any
"""One row of `condition_table.conditions`."""
UNITS = {
    "barrier": ("barrier", 3, ""),
    "in_basin": ("barrier in basin", 3, ""),
    "train_barrier": ("barrier on training data", 3, ""),
    "delta": ("accuracy delta", 2, " points"),
    "angle": ("angle", 1, " degrees"),
    "angle_weights": ("angle of weights", 1, " degrees"),
}
"""Measure -> its name in a sentence, digits after the point, unit."""
_SHOWN = ("dataset", "model", "shift", "normalization", "lr", "batch_size", "epochs")


def describe_condition(row: Condition, leave_out: Sequence[str] = ()) -> str:
    """Name a condition by its settings.

    Args:
        row: the condition.
        leave_out: settings that are named elsewhere.
    """
    words = [describe(name, row[name]) for name in _SHOWN if name not in leave_out and key_text(row[name])]
    extra = [describe("noise", row["noise"])] if row["noise"] == "different" else []
    return " ".join([*words, *extra])


def describe_measures(row: Condition, *measures: str) -> str:
    """Write measures of a condition, each with its mean, deviation and n."""
    texts = []
    for measure in measures:
        name, decimals, unit = UNITS[measure]
        mean, deviation = (f"{row[column]:.{decimals}f}" for column in (measure, f"{measure}_sd"))
        texts.append(f"{name} {mean} ± {deviation}{unit} (n = {row['n']})")
    return ", ".join(texts)


def contrast(first: Condition, second: Condition, measure: str, negligible: float | None = None) -> int | None:
    """Tell in which of two conditions a measure is higher.

    Args:
        first: a condition with columns `<measure>` and `<measure>_sd`.
        second: another.
        measure: a column.
        negligible: differences up to this are of no consequence, however certain; None: as in `NEGLIGIBLE`.

    Returns:
        1 where it is higher in the first condition, -1 where it is lower, 0 where it is neither beyond twice the
        standard error, None where the error is unknown.
    """
    least = NEGLIGIBLE[measure] if negligible is None else negligible
    error = math.sqrt(sum(row[f"{measure}_sd"] ** 2 / row["n"] for row in (first, second)))
    return direction(first[measure] - second[measure], max(error, least / 2) if not math.isnan(error) else error)


def equal_but_for(rows: pd.DataFrame, settings: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield each set of two or more conditions that are equal in all settings but these."""
    if rows.empty:
        return
    names = [name for name in KEYS if name not in settings]
    texts = pd.Series(
        ["|".join(parts) for parts in zip(*(rows[name].map(key_text) for name in names), strict=True)], rows.index
    )
    for _, part in rows.groupby(texts, sort=True):
        if len(part) > 1:
            yield part


def compare_ends_of_axis(tables: ConditionTables, axis: str, measure: str, better_when_larger: bool) -> Evidence:
    """Collect evidence that a measure is lower at one end of an axis than at the other, all else equal.

    An accuracy delta counts as a loss of accuracy: it is the better the higher it is.

    Args:
        tables: whose conditions are compared.
        axis: batch_size or lr.
        measure: what is compared between the smallest and the largest value of the axis.
        better_when_larger: whether the claim calls the largest value the better one.
    """
    evidence = Evidence()
    for part in equal_but_for(tables.enough, (axis,)):
        ordered = part.sort_values(axis, ascending=better_when_larger)
        worse, better = ordered.iloc[0], ordered.iloc[-1]
        way = contrast(better, worse, measure) if measure == "delta" else contrast(worse, better, measure)
        text = f"{describe_condition(worse, (axis,))}: {axis} {worse[axis]:g}: {describe_measures(worse, measure)}, "
        text += f"{axis} {better[axis]:g}: {describe_measures(better, measure)}"
        evidence.add(way, text, (*worse["run_ids"], *better["run_ids"]))
    return evidence


def holds(row: Condition) -> bool | None:
    """Tell whether most seeds of a condition have no break on test data; None where half have one."""
    return None if row["holds"] == 0.5 else bool(row["holds"] > 0.5)


def with_architecture(rows: pd.DataFrame) -> pd.DataFrame:
    """Add columns family, depth and variant of each condition's network."""
    found = [architecture(str(model)) for model in rows["model"]]
    return pd.concat([rows, pd.DataFrame(found, columns=list(Architecture._fields), index=rows.index)], axis=1)


def can_happen(rows: pd.DataFrame, shows: Callable[[Condition], bool | None], measures: Sequence[str]) -> Evidence:
    """Collect evidence that something happens in at least one condition.

    Args:
        rows: the conditions, each of which might show it.
        shows: whether a condition shows it; None: undecided.
        measures: those that a line of evidence names.
    """
    evidence = Evidence("can")
    for _, row in rows.iterrows():
        seen = shows(row)
        way = 0 if seen is None else 1 if seen else -1
        text = f"{describe_condition(row)}: {describe_measures(row, *measures)}; "
        text += f"connected {100 * row['holds']:.0f} % of seeds"
        evidence.add(way, text, row["run_ids"])
    return evidence
