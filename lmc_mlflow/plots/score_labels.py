"""The score that a table holds, accuracy or average precision, and its label."""

import pandas as pd

from lmc_mlflow.paths.measures import LOSS, MEASURES
from lmc_mlflow.predictions.scores import ACCURACY, AVERAGE_PRECISION, SCORE_NAMES


def score_in(table: pd.DataFrame, template: str = "{}") -> str:
    """Return `accuracy`, or `average_precision` where that is the only score in the table.

    A table with both is drawn by its accuracies; select the rows of one data set to see its own score.

    Args:
        table: a table of `query`, or the content of `path.json`.
        template: the column's name, with {} for the score, as in `test/{}_delta`.
    """
    names = {name: template.format(name) for name in (ACCURACY, AVERAGE_PRECISION)}
    present = {name for name, column in names.items() if column in table and bool(table[column].notna().any())}
    return AVERAGE_PRECISION if present == {AVERAGE_PRECISION} else ACCURACY


def in_words(score: str) -> str:
    """Write the score as a label: `average precision`."""
    return score.replace("_", " ")


def measures_in(table: pd.DataFrame) -> list[str]:
    """List the measures of a path that a table has and figures draw: the loss, the score, then the others.

    Args:
        table: as for `score_in`.
    """
    others = [name for name, measure in MEASURES.items() if measure.drawn and name not in (LOSS, *SCORE_NAMES)]
    return [LOSS, score_in(table), *(name for name in others if name in table and table[name].notna().any())]
