"""Tables VI, VII and VIII of Hepburn et al.: the store's numbers beside the printed ones."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from lmc_mlflow.findings.condition_table import (
    KEYS,
    POLICIES,
    Frames,
    key_text,
    usual_augmentation,
    with_columns,
    within_pairs,
)
from lmc_mlflow.findings.differences import Sample
from lmc_mlflow.findings.thresholds import LOST_BELOW
from lmc_mlflow.models.families import has_batch_norm
from lmc_mlflow.papers.cell_conditions import choose_condition, condition_words, describe_others
from lmc_mlflow.papers.commands import path_command
from lmc_mlflow.papers.marks import NO_DATA, RATIO_FROM, is_barrier, mark, ratio
from lmc_mlflow.papers.printed import ASSUMED_SCALING, CELL, SEEDS, cells

TITLES = {
    "table_vi": "Table VI: batch size and learning rate, 50/50",
    "table_vii": "Table VII: label imbalance, batch size 1024",
    "table_viii": "Table VIII: centered against [0, 1], CIFAR-10, 50/50",
}
REQUIRED = {"optimizer": "adam", "test_split": "official", "validation": "unused", "image_size": "", "channels": "auto"}
"""What the paper says of all its pairs besides the cell, as texts."""
SCALINGS = {"centered": ("centered", "half"), "unit": ("unit",)}
"""The paper's scaling -> ours, the preferred first: the paper does not define "centered"."""
PRINTED, ASSUMED = "printed", "assumed"
"""Whether the paper prints the scaling of a row, or the row is one reading of what it leaves out."""
Cell = dict[Any, Any]
"""A printed cell: the columns of `printed.cells`, and its reading."""
ROUNDING = 0.005
"""Half a unit of the last printed digit: Tables VI to VIII have two decimals."""
_NAMED = (*CELL, *REQUIRED)


def path_table(frames: Frames, table: str, min_seeds: int) -> pd.DataFrame:
    """Compute one row for each printed cell, reading of its scaling and batch-norm policy.

    A network without batch norm has one policy. A cell whose scaling is not printed (`ASSUMED_SCALING`) has one row
    for each reading that the store has, with that reading in `normalization` and `reading` = assumed.

    A row holds one condition. Where several of the store fit what the paper says (it does not give the number of
    epochs, for example), the one with most seeds is taken, of those the one with most epochs; the others are
    named in `left_out`. The paper measures barriers from the local minima of a path (IV-A), so its barrier is compared
    with `test/barrier_in_basin` (`in_basin`, `barrier_mark`, `ratio`); `barrier` is its eq. 1, `test/barrier`. Its
    delta is compared with 100 times `test/accuracy_delta`.

    Args:
        frames: as `condition_table.prepare` returns them.
        table: table_vi, table_vii or table_viii.
        min_seeds: fewer than this are no data yet.
    """
    by_policy = {policy: _ByCell(_fitting(frames.conditions[policy])) for policy in POLICIES}
    pairs, paths = _ByCell(_fitting(with_columns(frames.pairs, KEYS))), within_pairs(frames.paths)
    rows = []
    for printed in cells(table).to_dict("records"):
        for cell in _readings(printed, by_policy):
            found = {policy: conditions.of(cell) for policy, conditions in by_policy.items()}
            chosen = choose_condition(found)
            for policy in POLICIES if has_batch_norm(cell["model"]) else POLICIES[:1]:
                row = _row(cell, policy, found[policy], chosen, min_seeds)
                empty = row["barrier_mark"] == NO_DATA
                row["command"] = _command(cell, policy, pairs.of(cell), paths, min_seeds) if empty else ""
                rows.append(row)
    return pd.DataFrame(rows)


def ratio_note(table: pd.DataFrame) -> str:
    """Write how far our barriers are from the printed ones, under the first policy, where there is a ratio."""
    ratios = table[(table["bn"] == POLICIES[0]) & (table["barrier_mark"] != NO_DATA)]["ratio"].dropna()
    if ratios.empty:
        return ""
    text = f"Where a barrier of {RATIO_FROM:g} or more is printed, ours is lower in {int((ratios < 1).sum())} of "
    text += f"{len(ratios)} rows ({POLICIES[0]})"
    if (ratios > 0).all():
        text += f"; the geometric mean of ours / printed is {math.exp(ratios.map(math.log).mean()):.2f}"
    return f"{text}, the median {ratios.median():.2f}."


def _readings(cell: Cell, by_policy: Mapping[str, "_ByCell"]) -> list[Cell]:
    """List a printed cell as it is or, where its scaling is assumed, under each reading that the store has."""
    if cell["dataset"] not in ASSUMED_SCALING:
        return [cell | {"reading": PRINTED}]
    both = [cell | {"normalization": name, "reading": ASSUMED} for name in ASSUMED_SCALING[cell["dataset"]]]
    return [one for one in both if any(len(found.of(one)) for found in by_policy.values())] or both[:1]


def _fitting(frame: pd.DataFrame) -> pd.DataFrame:
    """Select the conditions that fit what the paper says of all its pairs; an unlogged setting rules out nothing."""
    for name, text in REQUIRED.items():
        frame = frame[frame[name].map(key_text).isin([text, ""])]
    return frame[(frame["augmentation"] == usual_augmentation(frame["dataset"])) | (frame["augmentation"] == "")]


class _ByCell:
    """A table whose rows are found by what they share with a printed cell, without reading the table again."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self._places: dict[tuple[Any, ...], list[int]] = {}
        for place, values in enumerate(zip(*(frame[name] for name in CELL), strict=True)):
            self._places.setdefault(values, []).append(place)

    def of(self, cell: Cell) -> pd.DataFrame:
        """Select the rows of a cell, in their order."""
        scaling = cell["normalization"]
        readings = (scaling,) if cell["reading"] == ASSUMED else SCALINGS[scaling]
        keys = [tuple((cell | {"normalization": reading})[name] for name in CELL) for reading in readings]
        return self._frame.iloc[sorted(place for key in keys for place in self._places.get(key, ()))]


def _row(cell: Cell, policy: str, found: pd.DataFrame, chosen: str | None, min_seeds: int) -> dict[str, Any]:
    mine = found[found["condition"] == chosen]
    first = mine.iloc[0] if len(mine) else None
    n = 0 if first is None else int(first["n"])
    row: dict[str, Any] = {name: cell[name] for name in (*CELL, "reading")} | {"bn": policy, "n": n}
    height, equation_1, delta = (_sample(first, name) for name in ("in_basin", "barrier", "delta"))
    row |= {"in_basin": height.mean, "in_basin_sd": height.deviation}
    row |= {"paper_barrier": cell["barrier"], "paper_barrier_sd": cell["barrier_sd"]}
    row["ratio"] = ratio(height.mean, cell["barrier"])
    same = is_barrier(height.mean) == is_barrier(cell["barrier"])
    row["barrier_mark"] = _mark(height, cell, "barrier", same, min_seeds)
    row |= {"has_barrier": _yes(is_barrier(height.mean)) if height.n else ""}
    row |= {"paper_has_barrier": _yes(is_barrier(cell["barrier"]))}
    row |= {"barrier": equation_1.mean, "barrier_sd": equation_1.deviation}
    row |= {"delta": delta.mean, "delta_sd": delta.deviation}
    row |= {"paper_delta": cell["delta"], "paper_delta_sd": cell["delta_sd"]}
    lost = bool(delta.mean < LOST_BELOW)
    row["delta_mark"] = _mark(delta, cell, "delta", lost == cell["lost"], min_seeds)
    row["holds"] = "" if first is None else f"{first['holds'] * n:.3g} of {n}"
    row |= {"lost": _yes(lost) if delta.n else "", "paper_lost": _yes(cell["lost"]), "paper_bold": _yes(cell["bold"])}
    row["condition"] = "" if first is None else condition_words(first, _NAMED)
    row["left_out"] = "; ".join(describe_others(found[found["condition"] != chosen], _NAMED))
    return row | {"run_ids": "" if first is None else " ".join(first["run_ids"])}


def _sample(condition: "pd.Series[Any] | None", name: str) -> Sample:
    """Return a measure of a condition; of no values where the condition or the measure is missing."""
    if condition is None or pd.isna(condition[name]):
        return Sample(math.nan, math.nan, 0)
    return Sample(float(condition[name]), float(condition[f"{name}_sd"]), int(condition["n"]))


def _mark(ours: Sample, cell: Cell, name: str, same_conclusion: bool, min_seeds: int) -> str:
    theirs = Sample(float(cell[name]), float(cell[f"{name}_sd"]), len(SEEDS))
    return mark(ours, theirs, same_conclusion, ROUNDING, min_seeds)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _command(cell: Cell, policy: str, pairs: pd.DataFrame, paths: pd.DataFrame, min_seeds: int) -> str:
    settings = {name: cell[name] for name in CELL}
    if pairs.empty or "init" not in pairs:
        return path_command(settings, policy, pairs.iloc[:0], [])
    pairs = pairs[pairs["init"] == "same"]
    own = paths if not has_batch_norm(cell["model"]) else paths[paths["bn"] == policy]
    missing = pairs if pairs["seed"].nunique() >= min_seeds else pairs.iloc[:0]
    return path_command(settings, policy, missing, own["pair"])
