"""The content of a report: every table and verdict, computed once for all formats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from lmc_mlflow.findings.condition_table import (
    POLICIES,
    Frames,
    prepare,
    with_overfitting,
)
from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.findings.evidence import ANSWERS
from lmc_mlflow.papers.altintas.acceptance_table import acceptance, acceptance_note
from lmc_mlflow.papers.altintas.error_conditions import error_conditions
from lmc_mlflow.papers.altintas.head_to_head import answer_head_to_head, head_to_head
from lmc_mlflow.papers.altintas.tables import (
    accuracies,
    linear_networks,
    minimal_model,
    patch_parameters,
)
from lmc_mlflow.papers.anchors import training_note
from lmc_mlflow.papers.claims import Verdicts, count_answers, judge_all
from lmc_mlflow.papers.hepburn.batch_norm_question import answer_batch_norm_question
from lmc_mlflow.papers.hepburn.ensemble_tables import table_i, table_iii
from lmc_mlflow.papers.hepburn.parameter_table import table_v
from lmc_mlflow.papers.hepburn.tables import ASSUMED, TITLES, path_table, ratio_note
from lmc_mlflow.papers.marks import MARKS, NO_DATA
from lmc_mlflow.papers.pairs_behind import with_pairs_behind
from lmc_mlflow.papers.permutation.init_table import init_table
from lmc_mlflow.papers.permutation.reduced_table import reduced_table
from lmc_mlflow.papers.permutation.zoo_table import zoo_table
from lmc_mlflow.papers.printed import CELL, PATH_TABLES
from lmc_mlflow.papers.report.my_runs import MyRuns, my_runs
from lmc_mlflow.papers.starlight.costs_table import star_costs

TABLE_TITLES = {
    "table_i": "Table I: what each recipe for an ensemble gives",
    "table_iii": "Table III: ensembles of one path against ensembles of seeds, CIFAR-10, 50/50",
    "table_v": "Table V: parameters",
    **TITLES,
    "altintas_table_1": "Altintas et al., Table 1: error barriers of linear networks, MNIST, other orders",
    "altintas_table_2": "Altintas et al., Table 2: error barriers of one hidden layer, MNIST, other orders",
    "altintas_table_3": "Altintas et al., Table 3: parameters of one function written three ways",
    "altintas_table_4": "Altintas et al., Table 4: test accuracies",
    "altintas_acceptance": "Altintas et al.: are networks on MNIST trained as far as theirs?",
    "starlight_table_2": "Sonthalia et al., Table 2: accuracy and cost of one network, the ensemble and the star",
    "model_zoo": "Permutation slides: networks of one hidden layer by width",
    "reduced_zoo": "Permutation slides: the same networks without their redundant units",
    "init_and_optimizer": "Permutation slides: initialization and optimizer, moons, width 512",
    "head_to_head": "Hepburn et al. against Altintas et al.: does batch size decide?",
}
MARKED = (
    "table_iii",
    *PATH_TABLES,
    "altintas_table_1",
    "altintas_table_2",
    "altintas_table_4",
    "model_zoo",
    "reduced_zoo",
)
"""The tables whose cells have printed values and need runs."""
TRAINED = ("table_iii", *PATH_TABLES, "altintas_table_1", "altintas_table_2", "altintas_table_4")
"""The tables whose rows say how far their networks were trained, and how large the shift of their data is."""


def short_title(name: str) -> str:
    """Shorten a table's name: VI, or D 1 for Altintas et al."""
    if name.startswith("altintas_table_"):
        return f"D {name.removeprefix('altintas_table_')}"
    words = {"head_to_head": "batch size", "model_zoo": "zoo", "altintas_acceptance": "D accepted"}
    words |= {"starlight_table_2": "S 2", "reduced_zoo": "reduced", "init_and_optimizer": "initialization"}
    return words.get(name, name.removeprefix("table_").upper())


MOST_NAMED = 6
"""Run ids that a sentence names."""


@dataclass(frozen=True)
class Content:
    """Everything that a report says.

    Attributes:
        tables: name -> rows.
        verdicts: claim -> policy -> verdict.
        answer: to the question of the first screen.
        notes: table -> what it says in a sentence.
        num_runs: how many pairs, paths and ensembles were read.
        stand_ins: name of a data set or network that was read -> the paper's that it stands in for.
        mine: the pairs and paths of the store, whatever the papers say of them.
        left_out: kind -> run ids of those whose networks are gone.
    """

    tables: Mapping[str, pd.DataFrame]
    verdicts: Verdicts
    answer: str
    notes: Mapping[str, str]
    num_runs: Mapping[str, int]
    stand_ins: Mapping[str, str]
    mine: MyRuns
    left_out: Mapping[str, Sequence[str]]


def report_content(frames: Frames, stand_ins: Mapping[str, str], min_seeds: int) -> Content:
    """Compute everything that a report says from the tables of `query`.

    Args:
        frames: as read.
        stand_ins: name of a data set or network in the store -> the paper's that it stands in for.
        min_seeds: fewer seeds are no data yet.
    """
    ready = with_overfitting(prepare(frames, stand_ins))
    tables = {"table_i": table_i(ready), "table_iii": table_iii(ready, min_seeds), "table_v": table_v()}
    tables |= {name: path_table(ready, name, min_seeds) for name in PATH_TABLES}
    errors = error_conditions(ready, POLICIES[0])
    tables |= {
        "altintas_table_1": linear_networks(errors, min_seeds),
        "altintas_table_2": minimal_model(errors, min_seeds),
        "altintas_table_3": patch_parameters(),
        "altintas_table_4": accuracies(ready, min_seeds),
        "altintas_acceptance": acceptance(errors, min_seeds),
        "starlight_table_2": star_costs(ready),
        "model_zoo": zoo_table(ready, min_seeds),
        "reduced_zoo": reduced_table(ready, min_seeds),
        "init_and_optimizer": init_table(ready, min_seeds),
        "head_to_head": head_to_head(errors, min_seeds),
    }
    tables |= {name: with_pairs_behind(name, tables[name], ready) for name in TRAINED}
    shifts = with_pairs_behind("head_to_head", tables["head_to_head"], ready)
    tables["head_to_head"] = shifts.drop(columns=["trained", "training"])
    num_runs = {
        "pairs": len(ready.pairs),
        "paths": len(ready.paths) + len(ready.other_paths),
        "ensembles": len(ready.ensembles),
    }
    notes = {name: training_note(tables[name]) for name in TRAINED}
    notes |= {name: f"{ratio_note(tables[name])} {notes[name]}".strip() for name in PATH_TABLES}
    notes |= {"head_to_head": answer_head_to_head(tables["head_to_head"])}
    notes |= {"altintas_acceptance": acceptance_note(tables["altintas_acceptance"])}
    notes = {name: note for name, note in notes.items() if note}
    here = {mine: theirs for mine, theirs in stand_ins.items() if _is_read(frames, mine)}
    answer = answer_batch_norm_question(tables["table_vii"])
    mine = my_runs(prepare(frames, {}, every_run=True))
    return Content(tables, judge_all(ready, min_seeds), answer, notes, num_runs, here, mine, frames.left_out)


def _is_read(frames: Frames, name: str) -> bool:
    return any(frame[column].eq(name).any() for frame in frames.tables() for column in ("dataset", "model"))


def with_data(table: pd.DataFrame) -> pd.DataFrame:
    """Select the rows with data of enough seeds, and the other rows of their printed cell."""
    if "run_ids" not in table or table.empty:
        return table.iloc[:0]
    marks = [name for name in ("barrier_mark", "delta_mark", "mark") if name in table]
    here = table["run_ids"].ne("") & ~((table[marks] == NO_DATA).all(axis=1) & bool(marks))
    return table[here.groupby([table[name] for name in CELL]).transform("any") if "reading" in table else here]


def count_filled(table: pd.DataFrame) -> tuple[int, int]:
    """Count the printed cells that have data under the first policy, and all; two readings of a cell are one cell."""
    rows = _first(table)
    rows = rows.assign(mark=rows["barrier_mark"]) if "barrier_mark" in rows else rows[rows["mark"] != ""]
    full = rows["mark"] != NO_DATA
    if "reading" in rows:
        scaling = rows["normalization"].where(rows["reading"] != ASSUMED, "")
        full = full.groupby([*(rows[name] for name in CELL if name != "normalization"), scaling]).any()
    return int(full.sum()), len(full)


def count_marks(table: pd.DataFrame) -> dict[str, int]:
    """Count the numbers under the first policy that have each mark."""
    rows = _first(table)
    columns = [name for name in ("barrier_mark", "delta_mark", "mark") if name in rows]
    found = pd.concat([rows[name] for name in columns])
    return {mark: int((found == mark).sum()) for mark in MARKS}


def _first(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["bn"].isin([POLICIES[0], ""])] if "bn" in table else table


def headline(content: Content) -> str:
    """Summarize the report in a few short sentences."""
    said = count_answers(content.verdicts, POLICIES[0])
    claims = ", ".join(f"{said[answer]} {answer}" for answer in ANSWERS)
    full, empty = [], []
    for name in MARKED:
        filled, total = count_filled(content.tables[name])
        if filled:
            full.append(f"{filled} of {total} in {_title_in_text(name)}")
        else:
            empty.append(_title_in_text(name))
    text = f"**Claims (batch norm: {POLICIES[0]}): {claims}.** Printed cells with data: {', '.join(full) or 'none'}."
    nothing = f"No data for {', '.join(empty)}." if full and empty else ""
    return " ".join(filter(None, [text, nothing, stand_ins_note(content), left_out_note(content.left_out)]))


def _title_in_text(name: str) -> str:
    if name.startswith("altintas_table_"):
        return f"Altintas et al.'s Table {name.removeprefix('altintas_table_')}"
    slides = {"model_zoo": "the slides' networks", "reduced_zoo": "the slides' reduced networks"}
    return slides.get(name, f"Table {short_title(name)}")


def stand_ins_note(content: Content) -> str:
    """Write which name of the store stands for which of the paper, or nothing."""
    parts = [f"{mine} for {theirs}" for mine, theirs in content.stand_ins.items()]
    return f"Here stand {' and '.join(parts)}." if parts else ""


def left_out_note(left_out: Mapping[str, Sequence[str]]) -> str:
    """Write which paths and ensembles are left out because their networks are gone, or nothing."""
    gone = [run_id for run_ids in left_out.values() for run_id in run_ids]
    if not gone:
        return ""
    counts = " and ".join(counted(len(run_ids), kind) for kind, run_ids in left_out.items() if run_ids)
    named = ", ".join(run_id[:8] for run_id in gone[:MOST_NAMED]) + (", ..." if len(gone) > MOST_NAMED else "")
    return f"Left out: {counts} whose networks were deleted or are not in this store ({named})."


def metrics(content: Content) -> dict[str, float]:
    """Compute the metrics that the report's run logs."""
    found: dict[str, float] = {
        f"claims/{policy}_{answer}": number
        for policy in POLICIES
        for answer, number in count_answers(content.verdicts, policy).items()
    }
    for name in MARKED:
        full, total = count_filled(content.tables[name])
        found |= {f"cells/{name}": total, f"cells/{name}_filled": full}
        marks = count_marks(content.tables[name])
        found |= {f"marks/{name}_{mark.replace(' ', '_')}": number for mark, number in marks.items()}
    return found
