"""Decides whether barriers of ResNets under label imbalance come from batch norm's running statistics."""

import pandas as pd

from lmc_mlflow.findings.condition_table import POLICIES
from lmc_mlflow.findings.families import family_of
from lmc_mlflow.findings.thresholds import FLAT_BELOW, LOST_BELOW
from lmc_mlflow.papers.commands import sweep_command
from lmc_mlflow.papers.marks import NO_DATA


def question_rows(table_vii: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of Table VII (from `tables.path_table`) that the question is about: ResNets, 20/80."""
    return table_vii[table_vii["model"].map(family_of).eq("ResNet") & (table_vii["shift"] == "label_2080")]


def answer_batch_norm_question(table_vii: pd.DataFrame) -> str:
    """Answer the question from Table VII, in sentences with numbers.

    A barrier vanished where it is at most `FLAT_BELOW` and the accuracy delta no worse than `LOST_BELOW`.
    """
    rows = question_rows(table_vii)
    measured = rows[rows["barrier_mark"] != NO_DATA]
    cells = ["dataset", "model", "lr"]
    complete = measured.groupby(cells)["bn"].nunique() == len(POLICIES)
    number = int(complete.sum())
    total = len(rows.drop_duplicates(cells))
    if not number:
        return f"No data yet: none of {total} cells has paths under all three policies. `{sweep_command('table_vii')}`"
    whole = measured.set_index(cells)[complete.reindex(pd.MultiIndex.from_frame(measured[cells])).to_numpy()]
    gone = (whole["barrier"] <= FLAT_BELOW) & (whole["delta"] >= LOST_BELOW)
    parts = []
    for policy in POLICIES:
        mine = whole["bn"] == policy
        parts.append(
            f"{policy} {whole.loc[mine, 'barrier'].mean():.2f} (delta {whole.loc[mine, 'delta'].mean():+.1f} points; "
            f"vanished in {int(gone[mine].sum())} of {number})"
        )
    printed = whole[whole["bn"] == POLICIES[0]]
    text = (
        f"{number} of {total} cells have paths under all three policies. Mean barrier: {', '.join(parts)}; "
        f"the paper's {printed['paper_barrier'].mean():.2f} ({printed['paper_delta'].mean():+.1f} points). "
    )
    return text + _conclusion(int(gone[whole["bn"] == "recalibrate"].sum()), number)


def _conclusion(vanished: int, number: int) -> str:
    if vanished == number:
        return (
            "Wherever it was measured the barrier vanishes once batch norm is recalibrated: it is one of running "
            "statistics, not of basins."
        )
    if not vanished:
        return "The barrier stays when batch norm is recalibrated: it is one of basins, not of running statistics."
    return f"It depends: recalibrating batch norm removes the barrier in {vanished} of {number} cells."
