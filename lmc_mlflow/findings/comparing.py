"""How are conditions compared that are equal in all but one thing?"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd

from lmc_mlflow.findings.condition_table import KEYS, family_of, key_text
from lmc_mlflow.findings.conditions import describe
from lmc_mlflow.findings.evidence import Evidence, Store
from lmc_mlflow.findings.tally import direction

Condition = Any
"""One row of `measured.conditions`."""
FLOORS = {"barrier": 0.01, "in_basin": 0.01, "train_barrier": 0.01, "delta": 0.5, "angle": 1.0, "angle_weights": 1.0}
"""Differences up to this are of no consequence, however certain: nats, percentage points, degrees."""
UNITS = {
    "barrier": ("barrier", 3, ""),
    "in_basin": ("barrier in basin", 3, ""),
    "train_barrier": ("barrier on training data", 3, ""),
    "delta": ("accuracy delta", 2, " points"),
    "angle": ("angle", 1, " degrees"),
    "angle_weights": ("angle of weights", 1, " degrees"),
}
_SHOWN = ("dataset", "model", "shift", "normalization", "lr", "batch_size", "epochs")


def label(row: Condition, leave_out: Sequence[str] = ()) -> str:
    """A condition in words."""
    words = [describe(name, row[name]) for name in _SHOWN if name not in leave_out and key_text(row[name])]
    extra = [describe("noise", row["noise"])] if row["noise"] == "different" else []
    return " ".join([*words, *extra])


def number(row: Condition, measure: str) -> str:
    """A measure of a condition: mean, deviation, n."""
    name, decimals, unit = UNITS[measure]
    return f"{name} {row[measure]:.{decimals}f} ± {row[f'{measure}_sd']:.{decimals}f}{unit} (n = {row['n']})"


def contrast(first: Condition, second: Condition, measure: str) -> int | None:
    """1 where a measure is higher in the first condition than in the second, -1 lower, 0 neither, None unknown."""
    return apart(first, second, measure, FLOORS[measure])


def apart(first: Condition, second: Condition, measure: str, floor: float) -> int | None:
    """1 where a measure is higher in the first condition than in the second, -1 lower, 0 neither, None unknown.

    Args:
        first: a condition with `<measure>` and `<measure>_sd`.
        second: another.
        measure: a column.
        floor: differences up to this are of no consequence, however certain.
    """
    error = math.sqrt(sum(row[f"{measure}_sd"] ** 2 / row["n"] for row in (first, second)))
    return direction(first[measure] - second[measure], max(error, floor / 2) if not math.isnan(error) else error)


def alike(rows: pd.DataFrame, apart: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Sets of conditions that are equal in all settings but these."""
    if rows.empty:
        return
    names = [name for name in KEYS if name not in apart]
    texts = pd.Series(
        ["|".join(parts) for parts in zip(*(rows[name].map(key_text) for name in names), strict=True)], rows.index
    )
    for _, part in rows.groupby(texts, sort=True):
        if len(part) > 1:
            yield part


def ends_of_axis(store: Store, axis: str, measure: str, better_when_larger: bool) -> Evidence:
    """Is a measure lower at the better end of an axis, all else equal? Delta counts as its size of loss.

    Args:
        store: conditions.
        axis: batch_size or lr.
        measure: what is compared between the smallest and the largest value of the axis.
        better_when_larger: which end the claim calls better.
    """
    evidence = Evidence()
    for part in alike(store.enough, (axis,)):
        ordered = part.sort_values(axis, ascending=better_when_larger)
        worse, better = ordered.iloc[0], ordered.iloc[-1]
        way = contrast(better, worse, measure) if measure == "delta" else contrast(worse, better, measure)
        text = f"{label(worse, (axis,))}: {axis} {worse[axis]:g}: {number(worse, measure)}, {axis} {better[axis]:g}: "
        evidence.add(way, text + number(better, measure), (*worse["run_ids"], *better["run_ids"]))
    return evidence


def holds(row: Condition) -> bool | None:
    """Whether most seeds of a condition have no break on test data; None where half have."""
    return None if row["holds"] == 0.5 else bool(row["holds"] > 0.5)


def with_family(rows: pd.DataFrame) -> pd.DataFrame:
    """The conditions with columns family, depth and variant of their network."""
    found = [family_of(str(model)) for model in rows["model"]]
    names = pd.DataFrame(found, columns=["family", "depth", "variant"], index=rows.index)
    return pd.concat([rows, names], axis=1)


def can_happen(rows: pd.DataFrame, shows: Callable[[Condition], bool | None], measures: Sequence[str]) -> Evidence:
    """Evidence that something happens in at least one of these conditions, each of which might show it."""
    evidence = Evidence("can")
    for _, row in rows.iterrows():
        seen = shows(row)
        way = 0 if seen is None else 1 if seen else -1
        numbers = ", ".join(number(row, measure) for measure in measures)
        evidence.add(way, f"{label(row)}: {numbers}; connected {100 * row['holds']:.0f} % of seeds", row["run_ids"])
    return evidence
