"""Concludes from how many shared epochs on two sides stay connected."""

import pandas as pd

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.findings.comparisons import describe_condition
from lmc_mlflow.findings.conditions import per_seed
from lmc_mlflow.findings.differences import difference, mean_text
from lmc_mlflow.findings.evidence import ComparisonCounts
from lmc_mlflow.findings.parting import PARTING, partings
from lmc_mlflow.findings.sentences import markdown
from lmc_mlflow.findings.thresholds import NEGLIGIBLE

BARRIER = "test/barrier_in_basin"
NEED = f"at least two numbers of shared epochs with two seeds each are needed: `{RUN} sweep -P grid=instability`"
NOTE = "k* is the number of shared epochs from which on no measured path of a seed is broken, averaged over seeds."


def when_chosen(paths: pd.DataFrame) -> str:
    """Conclude when the basin is chosen: Markdown, from `query.paths`.

    Conditions whose barrier is low without any shared epoch decide nothing: it cannot fall.
    """
    counts, lines = ComparisonCounts(), []
    for parting in partings(paths) if BARRIER in paths else ():
        rows = parting.rows[parting.rows[PARTING] < parting.rows["epochs"].astype(float)]
        first, last = rows[PARTING].min(), rows[PARTING].max()
        early, late = (per_seed(rows[rows[PARTING] == number], BARRIER) for number in (first, last))
        star = parting.connected_from()
        if min(len(early), len(late)) < 2:
            continue
        fall = difference(early, late)
        if early.mean() > NEGLIGIBLE["barrier"]:
            counts.add(fall.direction(NEGLIGIBLE["barrier"]))
        lines.append(
            f"- {describe_condition(parting.rows.iloc[0])}: barrier in basin {mean_text(early, 3)} after {first} "
            f"shared epochs, {mean_text(late, 3)} after {last}; k* {mean_text(star, 1, ' epochs')}"
        )
    head = counts.verdict("Sides that share more epochs before they part have a lower barrier", NEED)
    if lines and not (counts.supporting or counts.contradicting or counts.undecided):
        head = "**No barrier, even without shared epochs**: nothing can fall; choose a harder condition."
    return markdown([head], lines, NOTE)
