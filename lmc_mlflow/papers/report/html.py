"""Writes tables, cells, marks and figures as HTML."""

import base64
import math
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import pandas as pd

from lmc_mlflow.findings.condition_table import POLICIES
from lmc_mlflow.models.families import has_batch_norm
from lmc_mlflow.papers.marks import AGREES, DIFFERS, NO_DATA, SAME
from lmc_mlflow.papers.printed import CELL
from lmc_mlflow.papers.report.markdown import spread_text

Link = Callable[[str], str | None]
"""Run id -> address, or None where there is no server to link to."""
_CLASSES = {AGREES: "agrees", SAME: "same", DIFFERS: "differs", NO_DATA: "none"}
_SHOWN_ID = 8
_HEADS = {
    "dataset": "data set",
    "batch_size": "B",
    "num_members": "members",
    "wrong_agreement": "WA",
    "wrong_disagreement": "WD",
    "majority_vote_accuracy_pct": "majority vote (%)",
    "mean_prediction_accuracy_pct": "averaged (%)",
    "mean_prediction_accuracy": "averaged (%)",
    "member_accuracy": "members alone (%)",
    "train_seconds": "training (s)",
    "holds": "paths without a break",
}


def badge(text: str) -> str:
    """Write a mark or an answer as a coloured word."""
    return f'<span class="mark {_CLASSES.get(text, text)}">{escape(text)}</span>'


def runs(run_ids: str, link: Link) -> str:
    """Write the runs behind a number, folded."""
    ids = run_ids.split()
    if not ids:
        return ""
    items = []
    for run_id in ids:
        address = link(run_id)
        short = f"<code>{run_id[:_SHOWN_ID] if address else run_id}</code>"
        items.append(f'<a href="{escape(address)}">{short}</a>' if address else short)
    return f"<details><summary>{len(ids)} run{'s' if len(ids) > 1 else ''}</summary>{' '.join(items)}</details>"


def command(text: str) -> str:
    """Write a command, folded."""
    return f"<details><summary>command</summary><code>{escape(text)}</code></details>" if text else ""


def prose(text: str) -> str:
    """Translate Markdown's bold, italics and code to HTML; the rest stays as it is."""
    bold = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(text))
    bold = re.sub(r"(?<!\*)\*([^*]+)\*(?!\*)", r"<i>\1</i>", bold)
    return re.sub(r"`(.+?)`", r"<code>\1</code>", bold)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table of finished HTML cells."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "\n".join(
        "<tr>" + "".join(cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def path_table(frame: pd.DataFrame, link: Link) -> str:
    """Write Table VI, VII or VIII: one row a printed cell, the paper beside each batch-norm policy."""
    differing = [name for name in CELL if frame[name].nunique() > 1 and name not in ("dataset", "model")]
    head = ["cell", "paper", *(f"bn = {policy}" for policy in POLICIES)]
    rows = []
    for _, part in frame.groupby(CELL, sort=False):
        first = part.iloc[0]
        by_policy = {str(row["bn"]): row for _, row in part.iterrows()}
        notes = [
            f"{_HEADS.get(name, name)} {first[name]:g}" if name in ("lr", "batch_size") else "" for name in differing
        ]
        notes += [str(first[name]) for name in differing if name in ("shift", "normalization")]
        notes += ["different noise"] if "noise" in differing and first["noise"] == "different" else []
        notes += [str(first["condition"])]
        left_out = f"<br>left out: {escape(first['left_out'])}" if first["left_out"] else ""
        cells = [_named(f"{first['dataset']} {first['model']}", escape(", ".join(filter(None, notes))) + left_out)]
        cells.append(_numbers(first))
        cells += [_policy(by_policy.get(policy), link) for policy in POLICIES]
        if not has_batch_norm(str(first["model"])):
            cells[-2:] = ['<span class="soft">no batch norm</span>'] * 2
        rows.append(cells)
    return table(head, rows)


def _named(name: str, note: str) -> str:
    return f'<b>{escape(name)}</b><br><span class="soft">{note}</span>'


def _numbers(row: Any) -> str:
    lines = [spread_text(row["paper_barrier"], row["paper_barrier_sd"], 2)]
    lines.append(f"{spread_text(row['paper_delta'], row['paper_delta_sd'], 2)} %")
    lines += ["lost"] if row["paper_lost"] == "yes" else []
    return f'<td class="num">{"<br>".join(lines)}</td>'


def _policy(row: Any, link: Link) -> str:
    if row is None or row["n"] == 0:
        return badge(NO_DATA) + ("" if row is None else command(row["command"]))
    lines = [
        f"{spread_text(row[name], row[f'{name}_sd'], 2)}{unit} {badge(row[f'{name}_mark'])}"
        for name, unit in (("barrier", ""), ("delta", " %"))
    ]
    note = f'<span class="soft">connected {escape(row["holds"])}</span>'
    return f'<td class="num">{"<br>".join(lines)}<br>{note}{runs(row["run_ids"], link)}{command(row["command"])}</td>'


def ensemble_table(frame: pd.DataFrame, link: Link) -> str:
    """Write Table III: one row a network, sampling and batch-norm policy, a column for each metric."""
    metrics = list(dict.fromkeys(frame["metric"]))
    rows = []
    for (model, sampling, policy), part in frame.groupby(["model", "sampling", "bn"], sort=False):
        first = part.iloc[0]
        members = f"{first['num_members']} members" if first["num_members"] else ""
        note = ", ".join(filter(None, [f"bn = {policy}" if policy else "", members, str(first["condition"])]))
        folded = runs(first["run_ids"], link) + command(first["command"])
        cells = [_named(f"{model}, {sampling}", escape(note)) + folded, str(first["n"])]
        rows.append([*cells, *(_metric(part[part["metric"] == name].iloc[0]) for name in metrics)])
    return table(["ensembles", "n", *(_HEADS.get(name, name) for name in metrics)], rows)


def _metric(row: Any) -> str:
    decimals = 2 if row["metric"].endswith("_pct") else 3
    ours = spread_text(row["mean"], row["sd"], decimals)
    theirs = spread_text(row["paper_mean"], row["paper_sd"], decimals)
    return f'<td class="num">{ours} {badge(row["mark"])}<br><span class="soft">paper {theirs}</span></td>'


def plain_table(frame: pd.DataFrame, link: Link) -> str:
    """Write any other table: marks as badges, what the paper says in the first column, runs and commands last."""
    shown = [str(name) for name in frame.columns if name not in ("run_ids", "command", "paper")]
    folded = "run_ids" in frame
    rows = []
    for _, row in frame.iterrows():
        cells = [_cell(name, row[name]) for name in shown]
        if "paper" in frame:
            cells[0] = _named(str(row[shown[0]]), escape(str(row["paper"])))
        rows.append(cells + ([runs(row["run_ids"], link) + command(row.get("command", ""))] if folded else []))
    return table([*(_HEADS.get(name, name.replace("_", " ")) for name in shown), *(["runs"] if folded else [])], rows)


def _cell(name: str, value: Any) -> str:
    if name == "mark":
        return badge(value)
    if isinstance(value, float):
        decimals = 3 if abs(value) < 1 else 2
        return "" if math.isnan(value) else f'<td class="num">{value:.{decimals}f}</td>'
    return escape(str(value))


def figure(png: bytes, title: str, caption: str) -> str:
    """Write a picture with its caption; its bytes are inside the page."""
    source = base64.b64encode(png).decode()
    return (
        f'<figure><img alt="{escape(title)}" src="data:image/png;base64,{source}">'
        f"<figcaption>{prose(caption)}</figcaption></figure>"
    )
