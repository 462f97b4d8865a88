"""Writes a report as CSV and as Markdown; the same store gives the same bytes."""

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from lmc_mlflow.findings.condition_table import POLICIES
from lmc_mlflow.papers.claims import CLAIMS, JUDGED
from lmc_mlflow.papers.commands import GRIDS, sweep_command
from lmc_mlflow.papers.hepburn.batch_norm_question import question_rows
from lmc_mlflow.papers.printed import CELL
from lmc_mlflow.papers.report.content import TABLE_TITLES, Content, headline

HOW_TO_READ = (
    "Means ± sample deviations over seeds (runs of one seed averaged first). Barrier: `test/barrier`; delta: 100 x "
    "`test/accuracy_delta`, in percentage points. *agrees*: within twice the standard error of the difference (and "
    "what printing rounds away); *same conclusion*: no, but both or neither lose more than 6 points, the rule behind "
    "the paper's bold print (Table III: seeds lie on the same side of paths); *differs*; *no data yet*: fewer seeds "
    "than asked for. *lost*: the paper's delta is below -6 points; *connected*: paths without a break on test data, by "
    "barrier or delta."
)


def csv_text(table: pd.DataFrame) -> str:
    """Write a table as CSV, with six significant digits."""
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def spread_text(mean: float, deviation: float, decimals: int) -> str:
    """Write mean and deviation as `0.38 ± 0.04`; empty where there is no mean."""
    if math.isnan(mean):
        return ""
    text = f"{mean:.{decimals}f}".replace("-0." + "0" * decimals, "0." + "0" * decimals)
    return text if math.isnan(deviation) else f"{text} ± {deviation:.{decimals}f}"


def path_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Shorten Table VI, VII or VIII for a reader: columns with one value are left out, numbers are rounded."""
    differing = [name for name in CELL if table[name].nunique() > 1]
    shown = table[differing].assign(bn=table["bn"], n=table["n"])
    for name, decimals in (("barrier", 2), ("delta", 2)):
        for column, prefix in ((name, ""), (f"{name} (paper)", "paper_")):
            pairs = zip(table[f"{prefix}{name}"], table[f"{prefix}{name}_sd"], strict=True)
            shown[column] = [spread_text(mean, deviation, decimals) for mean, deviation in pairs]
        shown[f"{name}: mark"] = table[f"{name}_mark"]
    return shown.assign(connected=table["holds"], condition=table["condition"])


def plain_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Shorten any other table for a reader: run ids and commands are left out, numbers are rounded."""
    shown = table.drop(columns=[name for name in ("run_ids", "command") if name in table])
    for name in shown.columns:
        if shown[name].dtype == float:
            decimals = 3 if shown[name].abs().max() < 1 else 2
            shown[name] = [spread_text(value, math.nan, decimals) for value in shown[name]]
    return shown


def markdown_table(rows: pd.DataFrame) -> str:
    """Write any table as Markdown."""
    return "\n".join(
        [_line(rows.columns), "|" + "---|" * len(rows.columns), *(_line(row) for row in rows.to_numpy().tolist())]
    )


def _line(cells: Iterable[Any]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |"


def table_markdown(name: str, table: pd.DataFrame, note: str = "") -> str:
    """Write one table with its title, a note, and the command that fills its empty cells."""
    rows = path_rows(table) if "barrier" in table else plain_rows(table)
    command = f"\n\nTo fill it: `{sweep_command(name)}`." if name in GRIDS else ""
    said = f"{note}\n\n" if note else ""
    return f"## {TABLE_TITLES[name]}\n\n{said}{markdown_table(rows)}{command}\n"


def claims_rows(content: Content) -> pd.DataFrame:
    """Make one row for each claim: the answers, and the evidence under the first policy."""
    rows = []
    for claim in CLAIMS:
        verdicts = content.verdicts[claim.name]
        answers = {name: verdicts[name].answer for name in JUDGED}
        rows.append({"claim": claim.name, "": claim.sentence} | answers | {"evidence": verdicts[POLICIES[0]].sentence})
    return pd.DataFrame(rows).rename(columns={"paper": "the papers' own tables"})


def markdown(content: Content) -> str:
    """Write the whole report as one Markdown file."""
    parts = [
        "# Linear mode connectivity under data shifts: this store beside the papers\n",
        headline(content) + "\n",
        "## Is the barrier of ResNets under label imbalance one of basins, or of batch norm?\n",
        content.answer + "\n",
        markdown_table(path_rows(question_rows(content.tables["table_vii"]))) + "\n",
        "## Claims\n",
        markdown_table(claims_rows(content)) + "\n",
        *(table_markdown(name, content.tables[name], content.notes.get(name, "")) for name in TABLE_TITLES),
        "## How to read this\n",
        HOW_TO_READ,
    ]
    return "\n".join(parts) + "\n"
