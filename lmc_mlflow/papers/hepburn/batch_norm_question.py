"""Decides whether barriers of ResNets under label imbalance are of batch norm's running statistics or of basins."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lmc_mlflow.findings.condition_table import POLICIES
from lmc_mlflow.findings.differences import Sample, contrast_of
from lmc_mlflow.findings.families import family_of
from lmc_mlflow.findings.thresholds import CONFIDENCE, FLAT_BELOW, LOST_BELOW, breaks
from lmc_mlflow.papers.commands import sweep_command
from lmc_mlflow.papers.hepburn.tables import ASSUMED
from lmc_mlflow.papers.marks import NO_DATA, is_barrier

NOTHING, STATISTICS, BASINS, UNDECIDED = "nothing to explain", "running statistics", "basins", "undecided"
OUTCOMES = (NOTHING, STATISTICS, BASINS, UNDECIDED)
INTERPOLATE, RECALIBRATE, NEAREST = POLICIES
BREAKS, HOLDS, UNSURE = "breaks", "holds", "is undecided"
CELL = ("dataset", "model", "lr", "normalization")
"""What tells the cells of the question apart."""
RULE = (
    f"A path breaks where its barrier in the basin is above {FLAT_BELOW:g} nats or its accuracy delta below "
    f"{LOST_BELOW:g} points, with the whole {CONFIDENCE:.0%} t interval over seeds; it holds where both "
    "intervals are on the other side; else it is undecided."
)


@dataclass(frozen=True)
class Answer:
    """The outcome for one cell, one of `OUTCOMES`, and why."""

    cell: str
    outcome: str
    reason: str


def question_rows(table_vii: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of Table VII (from `tables.path_table`) that the question is about: ResNets, 20/80."""
    return table_vii[table_vii["model"].map(family_of).eq("ResNet") & (table_vii["shift"] == "label_2080")]


def answer_batch_norm_question(table_vii: pd.DataFrame) -> str:
    """Answer the question from Table VII, in sentences with numbers."""
    found = list(cell_answers(table_vii))
    counts = {outcome: sum(answer.outcome == outcome for answer in found) for outcome in OUTCOMES}
    said = ", ".join(f"**{outcome}** in {number}" for outcome, number in counts.items() if number)
    reasons = " ".join(f"{answer.cell}: *{answer.outcome}*: {answer.reason}." for answer in found if answer.reason)
    unmeasured = sum(not answer.reason for answer in found)
    command = f"`{sweep_command('table_vii')}`"
    rest = f"No data yet for {unmeasured} of them: {command}." if unmeasured else ""
    return " ".join(filter(None, [f"Of {len(found)} cells: {said}.", reasons, rest, RULE]))


def cell_answers(table_vii: pd.DataFrame) -> Iterator[Answer]:
    """Yield the answer for each cell of ResNets under label imbalance; one without any data has no reason."""
    for _, rows in question_rows(table_vii).groupby(list(CELL), sort=False):
        first = rows.iloc[0]
        cell = f"{first['dataset']} {first['model']} lr {first['lr']:g}"
        cell += f" {first['normalization']} (assumed)" if first["reading"] == ASSUMED else ""
        measured = {str(row["bn"]): row for _, row in rows.iterrows() if row["barrier_mark"] != NO_DATA}
        if not rows["n"].any():
            yield Answer(cell, UNDECIDED, "")
            continue
        missing = [policy for policy in POLICIES if policy not in measured]
        if missing:
            yield Answer(cell, UNDECIDED, f"no paths of enough seeds under {' and '.join(missing)}")
            continue
        yield Answer(cell, *_decide(measured, _control(table_vii, first)))


def _control(table_vii: pd.DataFrame, row: "pd.Series[Any]") -> dict[str, "pd.Series[Any]"]:
    """Find the 50/50 rows of the same condition by policy; where none has the same noise, those of different noise."""
    keep = (table_vii["shift"] == "label_5050") & (table_vii["barrier_mark"] != NO_DATA)
    for name in (*CELL, "condition"):
        keep &= table_vii[name] == row[name]
    found = table_vii[keep]
    same = found[found["noise"] == row["noise"]]
    return {str(one["bn"]): one for _, one in (same if len(same) else found).iterrows()}


def _decide(rows: Mapping[str, "pd.Series[Any]"], control: Mapping[str, "pd.Series[Any]"]) -> tuple[str, str]:
    """Choose the outcome from all policies and the control, and give the reason with its numbers."""
    states = {policy: _state(row) for policy, row in rows.items()}
    numbers = "; ".join(f"{policy} {states[policy]}, {_numbers(rows[policy])}" for policy in POLICIES)
    if states[INTERPOLATE] == HOLDS and states[RECALIBRATE] == BREAKS:
        return UNDECIDED, f"there is a barrier only when batch norm is recalibrated ({numbers})"
    if states[INTERPOLATE] == HOLDS:
        return NOTHING, f"{_without_barrier(states)}{_not_reproduced(rows[INTERPOLATE])} ({numbers})"
    if UNSURE in (states[INTERPOLATE], states[RECALIBRATE]):
        return UNDECIDED, f"an interval crosses a threshold ({numbers})"
    if INTERPOLATE not in control or RECALIBRATE not in control:
        return UNDECIDED, f"the 50/50 control of the same condition is missing or has too few seeds ({numbers})"
    of_control = {policy: _state(control[policy]) for policy in (INTERPOLATE, RECALIBRATE)}
    held = f"50/50 {of_control[INTERPOLATE]}, {_numbers(control[INTERPOLATE])}"
    if states[RECALIBRATE] == BREAKS:
        also = "; the 50/50 control breaks too, so it is not the imbalance" if of_control[RECALIBRATE] == BREAKS else ""
        return BASINS, f"the barrier stays when batch norm is recalibrated{also} ({numbers}; {held})"
    if of_control[INTERPOLATE] != HOLDS:
        return UNDECIDED, f"the 50/50 control {of_control[INTERPOLATE]} ({numbers}; {held})"
    return STATISTICS, f"the barrier vanishes when batch norm is recalibrated ({numbers}; {held})"


def _without_barrier(states: Mapping[str, str]) -> str:
    if set(states.values()) == {HOLDS}:
        return "no barrier under any policy"
    return "no barrier when the running statistics are interpolated"


def _not_reproduced(row: "pd.Series[Any]") -> str:
    """Say that the printed barrier is not reproduced, where one is printed."""
    if not is_barrier(row["paper_barrier"]):
        return ""
    printed = f"{row['paper_barrier']:.2f} nats, {row['paper_delta']:+.1f} points"
    return f": the printed barrier ({printed}) is not reproduced, and this says nothing about its cause"


def _state(row: "pd.Series[Any]") -> str:
    """Tell whether the path breaks, holds, or crosses a threshold within its interval."""
    barrier_low, barrier_high = _interval(row, "in_basin")
    delta_low, delta_high = _interval(row, "delta")
    if breaks(barrier_low, delta_high):
        return BREAKS
    unknown = math.isnan(barrier_high) or math.isnan(delta_low)
    return UNSURE if unknown or breaks(barrier_high, delta_low) else HOLDS


def _interval(row: "pd.Series[Any]", name: str) -> tuple[float, float]:
    """Compute the t interval over seeds; a row that has a mark has at least two."""
    return contrast_of((1,), (Sample(row[name], row[f"{name}_sd"], int(row["n"])),)).interval()


def _numbers(row: "pd.Series[Any]") -> str:
    low, high = _interval(row, "in_basin")
    return f"{row['in_basin']:.2f} nats ({max(low, 0):.2f} to {high:.2f}), {row['delta']:+.1f} points, n = {row['n']}"
