"""Tables VI, VII and VIII of Hepburn et al.: the store's numbers beside the printed ones."""

from typing import Any

import pandas as pd

from lmc_mlflow.findings.condition_table import (
    KEYS,
    POLICIES,
    Frames,
    condition_texts,
    key_text,
    usual_augmentation,
    with_columns,
    within_pairs,
)
from lmc_mlflow.findings.thresholds import LOST_BELOW
from lmc_mlflow.models.families import has_batch_norm
from lmc_mlflow.papers.cell_conditions import choose_condition, condition_words, describe_others
from lmc_mlflow.papers.commands import path_command
from lmc_mlflow.papers.marks import NO_DATA, Sample, mark
from lmc_mlflow.papers.printed import CELL, SEEDS, cells

TITLES = {
    "table_vi": "Table VI: batch size and learning rate, 50/50, centered",
    "table_vii": "Table VII: label imbalance, batch size 1024, centered",
    "table_viii": "Table VIII: centered against [0, 1], CIFAR-10, 50/50",
}
REQUIRED = {"optimizer": "adam", "test_split": "official", "validation": "unused", "image_size": ""}
"""What the paper says of all its pairs besides the cell, as texts."""
SCALINGS = {"centered": ("centered", "half"), "unit": ("unit",)}
"""The paper's scaling -> ours, the preferred first: the paper does not define "centered"."""
ROUNDING = 0.005
"""Half a unit of the last printed digit: Tables VI to VIII have two decimals."""
_NAMED = (*CELL, *REQUIRED)


def path_table(frames: Frames, table: str, min_seeds: int) -> pd.DataFrame:
    """Compute one row for each printed cell and batch-norm policy (a network without batch norm has one row).

    A cell holds one condition. Where several of the store fit what the paper says (it does not give the number of
    epochs, for example), the one with most seeds is taken, of those the one with most epochs; the others are
    named in `left_out`. The paper's barrier is compared with `test/barrier`, its delta with 100 times
    `test/accuracy_delta`.

    Args:
        frames: as `condition_table.prepare` returns them.
        table: table_vi, table_vii or table_viii.
        min_seeds: fewer than this are no data yet.
    """
    printed = cells(table)
    by_policy = {policy: _fitting(frames.conditions[policy]) for policy in POLICIES}
    rows = []
    for _, cell in printed.iterrows():
        found = {policy: _of_cell(frame, cell) for policy, frame in by_policy.items()}
        chosen = choose_condition(found)
        for policy in POLICIES if has_batch_norm(cell["model"]) else POLICIES[:1]:
            rows.append(_row(cell, policy, found[policy], chosen, frames, min_seeds))
    return pd.DataFrame(rows)


def _fitting(frame: pd.DataFrame) -> pd.DataFrame:
    """Select the conditions that fit what the paper says of all its pairs; an unlogged setting rules out nothing."""
    for name, text in REQUIRED.items():
        frame = frame[frame[name].map(key_text).isin([text, ""])]
    return frame[(frame["augmentation"] == usual_augmentation(frame["dataset"])) | (frame["augmentation"] == "")]


def _of_cell(frame: pd.DataFrame, cell: "pd.Series[Any]") -> pd.DataFrame:
    keep = frame["normalization"].isin(SCALINGS[cell["normalization"]])
    for name in CELL:
        if name != "normalization":
            keep &= frame[name] == cell[name]
    return frame[keep]


def _row(
    cell: "pd.Series[Any]", policy: str, found: pd.DataFrame, chosen: str | None, frames: Frames, min_seeds: int
) -> dict[str, Any]:
    mine = found[found["condition"] == chosen]
    row: dict[str, Any] = {name: cell[name] for name in CELL} | {"bn": policy}
    row["n"] = int(mine["n"].iloc[0]) if len(mine) else 0
    lost = bool(mine["delta"].iloc[0] < LOST_BELOW) if len(mine) else None
    for name in ("barrier", "delta"):
        mean, deviation = (float(mine[c].iloc[0]) if len(mine) else float("nan") for c in (name, f"{name}_sd"))
        ours = Sample(mean, deviation, row["n"])
        theirs = Sample(float(cell[name]), float(cell[f"{name}_sd"]), len(SEEDS))
        row |= {name: ours.mean, f"{name}_sd": ours.deviation}
        row |= {f"paper_{name}": theirs.mean, f"paper_{name}_sd": theirs.deviation}
        row[f"{name}_mark"] = mark(ours, theirs, lost == cell["lost"], ROUNDING, min_seeds)
    row["in_basin"] = float(mine["in_basin"].iloc[0]) if len(mine) else float("nan")
    row["holds"] = f"{mine['holds'].iloc[0] * row['n']:.3g} of {row['n']}" if len(mine) else ""
    row |= {"lost": "" if lost is None else _yes(lost), "paper_lost": _yes(cell["lost"])}
    row["paper_bold"] = _yes(cell["bold"])
    row["condition"] = condition_words(mine.iloc[0], _NAMED) if len(mine) else ""
    row["left_out"] = "; ".join(describe_others(found[found["condition"] != chosen], _NAMED))
    empty = row["barrier_mark"] == NO_DATA
    row["command"] = _command(cell, policy, frames, min_seeds) if empty else ""
    row["run_ids"] = " ".join(mine["run_ids"].iloc[0]) if len(mine) else ""
    return row


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _command(cell: "pd.Series[Any]", policy: str, frames: Frames, min_seeds: int) -> str:
    settings = {name: cell[name] for name in CELL}
    pairs = with_columns(frames.pairs, KEYS)
    if len(pairs):
        pairs = pairs.assign(condition=condition_texts(pairs))
        pairs = _of_cell(_fitting(pairs), cell)
    if pairs.empty or "init" not in pairs:
        return path_command(settings, policy, pairs.iloc[:0], [])
    pairs = pairs[pairs["init"] == "same"]
    paths = within_pairs(frames.paths)
    own = paths if not has_batch_norm(cell["model"]) else paths[paths["bn"] == policy]
    missing = pairs if pairs["seed"].nunique() >= min_seeds else pairs.iloc[:0]
    return path_command(settings, policy, missing, own["pair"])
