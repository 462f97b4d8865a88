"""What is in a report? Every table and verdict, computed once, whatever it is written as."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from lmc_mlflow.papers.batch_norm_question import answer
from lmc_mlflow.papers.claims import Verdicts, counts, judge_all
from lmc_mlflow.papers.ensemble_tables import table_i, table_iii
from lmc_mlflow.papers.marks import MARKS, NO_DATA
from lmc_mlflow.papers.measured import POLICIES, Frames, prepared, with_overfitting
from lmc_mlflow.papers.parameter_table import table_v
from lmc_mlflow.papers.printed import PATH_TABLES
from lmc_mlflow.papers.tables import TITLES, path_table
from lmc_mlflow.papers.verdicts import ANSWERS

TABLE_TITLES = {
    "table_i": "Table I: what each recipe for an ensemble gives",
    "table_iii": "Table III: ensembles of one path against ensembles of seeds, CIFAR-10, 50/50",
    "table_v": "Table V: parameters",
    **TITLES,
}


@dataclass(frozen=True)
class Content:
    """All that a report says.

    Attributes:
        tables: name -> rows.
        verdicts: claim -> policy -> verdict.
        answer: to the question of the first screen.
        num_runs: how many pairs, paths and ensembles were read.
    """

    tables: Mapping[str, pd.DataFrame]
    verdicts: Verdicts
    answer: str
    num_runs: Mapping[str, int]


def report_content(frames: Frames, stand_ins: Mapping[str, str], min_seeds: int) -> Content:
    """Everything, from the tables of `query`.

    Args:
        frames: as read.
        stand_ins: name of a data set in the store -> the paper's that it stands in for.
        min_seeds: fewer are no data yet.
    """
    ready = with_overfitting(prepared(frames, stand_ins))
    tables = {"table_i": table_i(ready), "table_iii": table_iii(ready, min_seeds), "table_v": table_v()}
    tables |= {name: path_table(ready, name, min_seeds) for name in PATH_TABLES}
    num_runs = {"pairs": len(ready.pairs), "paths": len(ready.paths), "ensembles": len(ready.ensembles)}
    return Content(tables, judge_all(ready, min_seeds), answer(tables["table_vii"]), num_runs)


def filled(table: pd.DataFrame) -> tuple[int, int]:
    """How many printed cells have data under the first policy, and how many there are."""
    rows = table[table["bn"].isin([POLICIES[0], ""])]
    marks = rows["barrier_mark" if "barrier_mark" in rows else "mark"]
    return int((marks != NO_DATA).sum()), len(rows)


def mark_counts(table: pd.DataFrame) -> dict[str, int]:
    """Mark -> how many numbers under the first policy have it."""
    rows = table[table["bn"].isin([POLICIES[0], ""])]
    columns = [name for name in ("barrier_mark", "delta_mark", "mark") if name in rows]
    found = pd.concat([rows[name] for name in columns])
    return {mark: int((found == mark).sum()) for mark in MARKS}


def headline(content: Content) -> str:
    """The report in two sentences, numbers first."""
    said = counts(content.verdicts, POLICIES[0])
    claims = ", ".join(f"{said[answer]} {answer}" for answer in ANSWERS)
    cells = []
    for name in ("table_iii", *PATH_TABLES):
        full, total = filled(content.tables[name])
        cells.append(f"{full} of {total} in {name.removeprefix('table_').upper()}")
    return f"**Claims ({POLICIES[0]}): {claims}.** Cells with data: {', '.join(cells)}."


def metrics(content: Content) -> dict[str, float]:
    """What the report's run logs as numbers."""
    found: dict[str, float] = {
        f"claims/{policy}_{answer}": number
        for policy in POLICIES
        for answer, number in counts(content.verdicts, policy).items()
    }
    for name in ("table_iii", *PATH_TABLES):
        full, total = filled(content.tables[name])
        found |= {f"cells/{name}": total, f"cells/{name}_filled": full}
        marks = mark_counts(content.tables[name])
        found |= {f"marks/{name}_{mark.replace(' ', '_')}": number for mark, number in marks.items()}
    return found
