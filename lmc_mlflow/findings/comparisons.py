"""Comparisons of conditions that are equal in all settings but one."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd

from lmc_mlflow.config.train_pair import BUDGETS
from lmc_mlflow.findings.condition_table import KEYS, key_text
from lmc_mlflow.findings.conditions import describe
from lmc_mlflow.findings.differences import Estimate, Sample, contrast_of, interval_text
from lmc_mlflow.findings.evidence import ConditionTables, Evidence
from lmc_mlflow.findings.families import Architecture, architecture
from lmc_mlflow.findings.thresholds import NEGLIGIBLE, breaks

Condition = Any
"""One row of `condition_table.conditions`."""
UNITS = {
    "barrier": ("barrier", 3, ""),
    "in_basin": ("barrier in basin", 3, ""),
    "train_barrier": ("barrier on training data", 3, ""),
    "delta": ("accuracy delta", 2, " points"),
    "angle": ("angle", 1, " degrees"),
    "angle_weights": ("angle of weights", 1, " degrees"),
    "accuracy": ("test accuracy", 2, " %"),
    "train_accuracy": ("training accuracy", 2, " %"),
    "train_loss": ("training loss", 4, " nats"),
    "test": ("error barrier", 2, " %"),
    "test_normalized": ("normalized error barrier", 2, " %"),
}
"""Measure -> its name in a sentence, digits after the point, unit."""
EPOCHS = "epochs"
EQUAL_STEPS_WITHIN = 0.02
"""Numbers of steps that differ by no more than this fraction are equal: batches do not divide a data set evenly."""
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


def sample(row: Condition, measure: str) -> Sample:
    """Return mean, deviation and n of a measure of a condition."""
    return Sample(float(row[measure]), float(row[f"{measure}_sd"]), int(row["n"]))


def estimate(row: Condition, measure: str) -> Estimate:
    """Estimate a measure of a condition, with its interval over seeds."""
    return contrast_of((1,), (sample(row, measure),))


def describe_measures(row: Condition, *measures: str) -> str:
    """Write measures of a condition, each with its mean, deviation, interval and n."""
    texts = []
    for measure in measures:
        name, decimals, unit = UNITS[measure]
        mean, deviation = (f"{row[column]:.{decimals}f}" for column in (measure, f"{measure}_sd"))
        limits = interval_text(*estimate(row, measure).interval(), decimals)
        texts.append(f"{name} {mean} ± {deviation} {limits}{unit} (n = {row['n']})")
    return ", ".join(texts)


def contrast(first: Condition, second: Condition, measure: str) -> Estimate:
    """Estimate how much higher a measure is in the first of two conditions."""
    return contrast_of((1, -1), (sample(first, measure), sample(second, measure)))


def describe_difference(found: Estimate, measure: str, margin: float) -> str:
    """Write a difference with its interval and the margin up to which it is of no consequence."""
    _, decimals, unit = UNITS[measure]
    return f"difference {found.text(decimals, unit)}, margin {margin:g}{unit}"


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


def ended_by(rows: pd.DataFrame, budget: str) -> pd.DataFrame:
    """Select the conditions whose training was ended by this: `epochs`, or one of the options that end it otherwise.

    A training that ended at a loss had fewer epochs than its settings say.
    """
    if rows.empty:
        return rows
    given = pd.DataFrame({name: rows[name].map(key_text) != "" for name in BUDGETS}, index=rows.index)
    return rows[~given.any(axis=1) if budget == EPOCHS else given[budget]]


def compare_ends_of_axis(tables: ConditionTables, axis: str, measure: str, better_when_larger: bool) -> Evidence:
    """Collect evidence that a measure is lower at one end of an axis than at the other, all else and the epochs equal.

    An accuracy delta counts as a loss of accuracy: it is the better the higher it is.

    Args:
        tables: whose conditions are compared.
        axis: batch_size or lr.
        measure: what is compared between the smallest and the largest value of the axis.
        better_when_larger: whether the claim calls the largest value the better one.
    """
    evidence = Evidence()
    for part in equal_but_for(ended_by(tables.enough, EPOCHS), (axis,)):
        ordered = part.sort_values(axis, ascending=better_when_larger)
        worse, better = ordered.iloc[0], ordered.iloc[-1]
        add_ends_of_axis(evidence, worse, better, (axis,), measure)
    return evidence


def add_ends_of_axis(
    evidence: Evidence, worse: Condition, better: Condition, axes: tuple[str, ...], measure: str
) -> None:
    """Add the comparison of two ends of an axis, which speaks for the claim where the better end is better.

    Args:
        evidence: gets the comparison.
        worse: the condition at the end that the claim calls worse.
        better: the condition at the other end.
        axes: the settings in which both differ; the first names them.
        measure: what is compared.
    """
    found = contrast(better, worse, measure) if measure == "delta" else contrast(worse, better, measure)
    margin = NEGLIGIBLE[measure]
    at = [", ".join(f"{axis} {row[axis]:g}" for axis in axes) for row in (worse, better)]
    text = f"{describe_condition(worse, axes)}: {at[0]}: {describe_measures(worse, measure)}, "
    text += f"{at[1]}: {describe_measures(better, measure)}; {describe_difference(found, measure, margin)}"
    text += f"; {describe_confound(worse, better)}"
    evidence.add(found.direction(margin), text, (*worse["run_ids"], *better["run_ids"]))


def describe_confound(first: Condition, second: Condition) -> str:
    """Say what differs between two conditions besides their noise: how many steps they take, and of which length."""
    steps = [(row["epochs"] if key_text(row["epochs"]) else 1) / row["batch_size"] for row in (first, second)]
    words = []
    if key_text(first["steps"]) and key_text(first["steps"]) == key_text(second["steps"]):
        steps = [1, 1]  # their last epochs may be begun and not ended
    if (ratio := max(steps) / min(steps)) > 1 + EQUAL_STEPS_WITHIN:
        more = first if steps[0] > steps[1] else second
        words.append(f"B {more['batch_size']:g} takes {ratio:.3g} times as many steps")
    if (ratio := max(first["lr"], second["lr"]) / min(first["lr"], second["lr"])) > 1:
        words.append(f"steps are {ratio:.3g} times as long at the higher rate")
    return f"confounded: {' and '.join(words)}" if words else "equal numbers of steps of equal length"


def holds(row: Condition) -> bool | None:
    """Tell whether a condition has no break (`thresholds.breaks`), by the intervals of barrier and accuracy delta.

    Returns:
        False where the whole interval of the barrier or of the delta breaks the connection, True where both whole
        intervals do not, None where an interval crosses its threshold or a number is unknown.
    """
    barrier, delta = estimate(row, "in_basin").limits(), estimate(row, "delta").limits()
    if breaks(barrier[0], delta[1]):
        return False
    known = not math.isnan(barrier[1] + delta[0])
    return True if known and not breaks(barrier[1], delta[0]) else None


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
