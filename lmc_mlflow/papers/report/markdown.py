"""Writes a report as CSV and as Markdown; the same store gives the same bytes."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from lmc_mlflow.findings.condition_table import POLICIES
from lmc_mlflow.papers.claims import CLAIMS, JUDGED
from lmc_mlflow.papers.commands import GRIDS, sweep_command
from lmc_mlflow.papers.hepburn.batch_norm_question import question_rows
from lmc_mlflow.papers.hepburn.tables import ASSUMED
from lmc_mlflow.papers.printed import CELL
from lmc_mlflow.papers.report.content import TABLE_TITLES, Content, headline, with_data
from lmc_mlflow.papers.report.empty import PRINTED_ALONE, by_command, empty_tables, names_with_data

HOW_TO_READ = (
    "Means ± sample deviations over seeds (runs of one seed averaged first). *barrier in basin*: "
    "`test/barrier_in_basin`, measured from the local minima of the path, as the paper measures (IV-A); the printed "
    "barrier stands beside it. *ours / printed*: their ratio; n/a where the printed one is below 0.05. *barrier, eq. "
    "1*: `test/barrier`, over the mean of both ends. *delta*: 100 x `test/accuracy_delta`, in percentage points. "
    "*agrees*: within twice the standard error of the difference (and what printing rounds away); *same conclusion*: "
    "no, but both barriers are at most 0.1 nats or both are above; both deltas, or neither, are below -6 points, the "
    "rule behind the paper's bold print (Table III: seeds lie on the same side of paths); *differs*; *no data yet*: "
    "fewer seeds than asked for. *lost*: the paper's delta is below -6 points; *connected*: paths without a break on "
    "test data, by barrier or delta. *trained*: whether the networks have reached the training accuracy or loss, or "
    "the test accuracy, that the paper prints for them; *undertrained* where they have not, *no anchor printed* where "
    "nothing is printed. *assumed*: the paper prints no scaling for MNIST, so each reading of it has a row. *C2ST*: "
    "how often a small classifier tells the images of both sides apart (0.5: no shift that it can see), with its 95 % "
    "interval; *label divergence*: of the label distributions of both sides, in bits."
)


SPREADS = {
    "in_basin": "barrier in basin",
    "paper_barrier": "printed barrier",
    "barrier": "barrier, eq. 1",
    "delta": "delta",
    "paper_delta": "printed delta",
}
"""Number of Tables VI to VIII that has a deviation -> its heading."""
HEADS = (
    *("barrier in basin", "printed barrier", "ours / printed", "barrier: mark"),
    *("barrier, eq. 1", "delta", "printed delta", "delta: mark"),
)
"""The numbers of Tables VI to VIII and their marks, in the order of the columns."""


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
    shown = table[[name for name in CELL if table[name].nunique() > 1]].copy()
    if "normalization" in shown or table["reading"].eq(ASSUMED).any():
        shown["normalization"] = table.apply(scaling_text, axis=1)
    shown = shown.assign(bn=table["bn"], n=table["n"])
    columns: dict[str, Any] = {head: _spreads(table, name) for name, head in SPREADS.items()}
    columns |= {"ours / printed": table.apply(ratio_text, axis=1)}
    columns |= {"barrier: mark": table["barrier_mark"], "delta: mark": table["delta_mark"]}
    shown = shown.assign(**{head: columns[head] for head in HEADS}, connected=table["holds"])
    return shown.assign(**_behind(table), condition=table["condition"])


def _spreads(table: pd.DataFrame, name: str) -> list[str]:
    pairs = zip(table[name], table[f"{name}_sd"], strict=True)
    return [spread_text(mean, deviation, 2) for mean, deviation in pairs]


def ratio_text(row: "pd.Series[Any]") -> str:
    """Write our barrier as a multiple of the printed one; n/a where there is no such ratio, empty without ours."""
    if math.isnan(row["in_basin"]):
        return ""
    return "n/a" if math.isnan(row["ratio"]) else f"{row['ratio']:.2f}"


def scaling_text(row: "pd.Series[Any]") -> str:
    """Write the scaling of a row, and that it is a reading where the paper does not print it."""
    return f"{row['normalization']} ({ASSUMED})" if row["reading"] == ASSUMED else str(row["normalization"])


def training_text(row: "pd.Series[Any]") -> str:
    """Write how far the networks of a row were trained, with the numbers."""
    return f"{row['trained']}: {row['training']}" if row["training"] else str(row["trained"])


def _behind(table: pd.DataFrame) -> dict[str, "pd.Series[str]"]:
    """Return what the pairs behind the rows logged, by heading; without what none of them logged."""
    if "c2st" not in table or table.empty:
        return {}
    found = {"C2ST": table["c2st"], "label divergence": table["label_divergence"]}
    found |= {"trained": table.apply(training_text, axis=1)} if "trained" in table else {}
    return {head: texts for head, texts in found.items() if texts.ne("").any()}


def plain_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Shorten any other table for a reader: run ids and commands are left out, numbers are rounded."""
    left_out = ("run_ids", "command", "trained", "training", "c2st", "label_divergence")
    shown = table.drop(columns=[name for name in left_out if name in table]).assign(**_behind(table))
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
    rows = path_rows(table) if "barrier_mark" in table else plain_rows(table)
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
    """Write the whole report as one Markdown file: my runs, what the papers say of the same, what is missing."""
    full = {*names_with_data(content), *PRINTED_ALONE}
    shown = [name for name in TABLE_TITLES if name in full]
    parts = [
        "# Linear mode connectivity under data shifts: my runs, and the papers beside them\n",
        *_my_runs(content),
        "## Beside the papers\n",
        headline(content) + "\n",
        "## Is the barrier of ResNets under label imbalance one of basins, or of batch norm?\n",
        content.answer + "\n",
        *_markdown_rows(path_rows(with_data(question_rows(content.tables["table_vii"])))),
        "## Claims\n",
        markdown_table(claims_rows(content)) + "\n",
        *(table_markdown(name, content.tables[name], content.notes.get(name, "")) for name in shown),
        *_without_data(content),
        "## How to read this\n",
        HOW_TO_READ,
    ]
    return "\n".join(parts) + "\n"


def _my_runs(content: Content) -> Iterator[str]:
    mine = content.mine
    yield f"## My runs\n\n{mine.summary}\n"
    if mine.command:
        yield f"Next: `{mine.command}`\n"
    for rows in (mine.paths, mine.pairs):
        yield from _markdown_rows(rows.drop(columns="run_ids", errors="ignore"))


def _markdown_rows(rows: pd.DataFrame) -> Iterator[str]:
    if len(rows):
        yield markdown_table(rows) + "\n"


def _without_data(content: Content) -> Iterator[str]:
    commands = by_command([empty_tables(content)])
    if commands:
        yield "## Without data yet\n"
        yield "\n".join(f"- {'; '.join(titles)}: `{command}`" for command, titles in commands.items()) + "\n"
