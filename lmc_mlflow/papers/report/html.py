"""Writes tables, cells, marks and figures as HTML."""

import base64
import math
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import pandas as pd

from lmc_mlflow.models.families import has_batch_norm
from lmc_mlflow.papers.hepburn.tables import ASSUMED
from lmc_mlflow.papers.marks import AGREES, DIFFERS, NO_DATA, SAME
from lmc_mlflow.papers.printed import CELL
from lmc_mlflow.papers.report.markdown import HEADS, SPREADS, ratio_text, scaling_text, spread_text, training_text

Link = Callable[[str], str | None]
"""Run id -> address, or None where there is no server to link to."""
_CLASSES = {AGREES: "agrees", SAME: "same", DIFFERS: "differs", NO_DATA: "none"} | {
    "connected": "agrees",
    "mixed": "undecided",
    "not connected": "differs",
}
_SHOWN_ID = 8
NARROW = "max-width: 640px"
"""Of a screen that shows the narrow form of a figure."""
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
    "eigenvalue": "largest eigenvalue",
    "adaptive_sharpness": "adaptive sharpness",
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
    """Write Table VI, VII or VIII: a printed cell (under one reading of its scaling), and a row for each policy."""
    differing = [name for name in CELL if frame[name].nunique() > 1 and name not in ("dataset", "model")]
    rows = []
    for _, part in frame.groupby(CELL, sort=False):
        cell = f'<td rowspan="{len(part)}">{_cell_text(part.iloc[0], differing)}</td>'
        for place, (_, row) in enumerate(part.iterrows()):
            rows.append([*([cell] if place == 0 else []), *_policy(row, link)])
    return table(["cell", "bn", "n", *HEADS, "connected", "runs"], rows)


def _cell_text(row: "pd.Series[Any]", differing: Sequence[str]) -> str:
    """Write what a cell is, the condition that fills it, how far that was trained and how large its shift is."""
    notes = [f"{_HEADS.get(name, name)} {row[name]:g}" for name in differing if name in ("lr", "batch_size")]
    notes += [str(row["shift"])] if "shift" in differing else []
    notes += [scaling_text(row)] if "normalization" in differing or row["reading"] == ASSUMED else []
    notes += ["different noise"] if "noise" in differing and row["noise"] == "different" else []
    lines = [escape(", ".join(filter(None, [*notes, str(row["condition"])])))]
    lines += [f"left out: {escape(row['left_out'])}"] if row["left_out"] else []
    lines += [escape(line) for line in behind_lines(row)]
    return _named(f"{row['dataset']} {row['model']}", "<br>".join(lines))


def behind_lines(row: "pd.Series[Any]") -> list[str]:
    """Write how far the networks of a row were trained and how large the shift of their data is, a line each."""
    lines = [training_text(row)] if row.get("trained", "") else []
    lines += [f"C2ST {row['c2st']}"] if row.get("c2st", "") else []
    return lines + ([f"label divergence {row['label_divergence']} bits"] if row.get("label_divergence", "") else [])


def _policy(row: "pd.Series[Any]", link: Link) -> list[str]:
    bn = str(row["bn"]) if has_batch_norm(str(row["model"])) else '<span class="soft">no batch norm</span>'
    spreads = {head: number(row[name], row[f"{name}_sd"]) for name, head in SPREADS.items()}
    cells = spreads | {"ours / printed": f'<td class="num">{ratio_text(row)}</td>'}
    cells |= {"barrier: mark": badge(row["barrier_mark"]), "delta: mark": badge(row["delta_mark"])}
    if row["paper_lost"] == "yes":
        cells["printed delta"] = cells["printed delta"].replace("</td>", "<br>lost</td>")
    folded = runs(row["run_ids"], link) + command(row["command"])
    return [bn, str(row["n"]), *(cells[head] for head in HEADS), escape(row["holds"]), folded]


def number(mean: float, deviation: float) -> str:
    """Write a mean with its deviation as a table's cell."""
    return f'<td class="num">{spread_text(mean, deviation, 2)}</td>'


def _named(name: str, note: str) -> str:
    return f'<b>{escape(name)}</b><br><span class="soft">{note}</span>'


def ensemble_table(frame: pd.DataFrame, link: Link) -> str:
    """Write Table III: one row a network, sampling and batch-norm policy, a column for each metric."""
    metrics = list(dict.fromkeys(frame["metric"]))
    rows = []
    for (model, sampling, policy), part in frame.groupby(["model", "sampling", "bn"], sort=False):
        first = part.iloc[0]
        members = f"{first['num_members']} members" if first["num_members"] else ""
        words = [f"bn = {policy}" if policy else "", members, str(first["condition"]), *behind_lines(first)]
        note = ", ".join(filter(None, words))
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
    left_out = ("run_ids", "command", "paper", "trained", "training", "c2st", "label_divergence")
    shown = [str(name) for name in frame.columns if name not in left_out]
    folded = "run_ids" in frame
    rows = []
    for _, row in frame.iterrows():
        cells = [_cell(name, row[name]) for name in shown]
        cells += ["<br>".join(map(escape, behind_lines(row)))] if "c2st" in frame else []
        if "paper" in frame:
            cells[0] = _named(str(row[shown[0]]), escape(str(row["paper"])))
        rows.append(cells + ([runs(row["run_ids"], link) + command(row.get("command", ""))] if folded else []))
    heads = [_HEADS.get(name, name.replace("_", " ")) for name in shown]
    heads += (["training, shift"] if "c2st" in frame else []) + (["runs"] if folded else [])
    return table(heads, rows)


def _cell(name: str, value: Any) -> str:
    if name == "mark":
        return badge(value) if value else ""
    if isinstance(value, float):
        decimals = 3 if abs(value) < 1 else 2
        return "" if math.isnan(value) else f'<td class="num">{value:.{decimals}f}</td>'
    return escape(str(value))


def fold(summary: str, inner: str) -> str:
    """Write what opens on a click."""
    return f'<details class="fold"><summary>{escape(summary)}</summary>{inner}</details>'


def figure(svg: bytes, title: str, caption: str, narrow: bytes = b"") -> str:
    """Write a picture with its caption, inside the page; on a screen narrower than it, it is scrolled.

    Args:
        svg: the picture.
        title: what it shows, for those who do not see it.
        caption: below it.
        narrow: what a phone shows instead; empty: the same.
    """
    image = f'<img alt="{escape(title)}" src="{_address(svg)}">'
    if narrow:
        image = f'<picture><source media="({NARROW})" srcset="{_address(narrow)}">{image}</picture>'
    kind = "figure fits" if narrow else "figure"
    return f'<figure><div class="{kind}">{image}</div><figcaption>{prose(caption)}</figcaption></figure>'


def _address(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
