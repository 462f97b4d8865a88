"""Adds to the rows of a table what the pairs behind them logged: how far training went, and how large the shift is."""

from typing import Any

import pandas as pd

from lmc_mlflow.findings.condition_table import KEYS, Frames, condition_texts, with_columns
from lmc_mlflow.papers.anchors import anchor_of, training_state

ACCURACY, DIVERGENCE = "shift/c2st_accuracy", "shift/label_divergence"


def with_pairs_behind(name: str, table: pd.DataFrame, frames: Frames) -> pd.DataFrame:
    """Add columns trained and training (`anchors.training_state`), c2st and label_divergence (`shift_words`).

    All four are empty where a row has no runs.

    Args:
        name: of the table.
        table: with column run_ids: pairs, paths within pairs, or ensembles.
        frames: as `condition_table.prepare` returns them.
    """
    pairs = _with_conditions(frames.pairs)
    behind = _pairs_of_runs(frames, pairs)
    found = []
    for row in table.to_dict("records"):
        ids = {pair for run_id in row["run_ids"].split() for pair in behind.get(run_id, (run_id,))}
        mine = pairs[pairs["run_id"].isin(ids)]
        settings = row if name != "table_iii" else {} if mine.empty else mine.iloc[0].to_dict()
        state, words = training_state(mine, anchor_of(name, settings)) if len(mine) else ("", "")
        found.append({"trained": state, "training": words} | shift_words(mine))
    added = pd.DataFrame(found, index=table.index, columns=["trained", "training", "c2st", "label_divergence"])
    return pd.concat([table, added], axis=1)


def _with_conditions(rows: pd.DataFrame) -> pd.DataFrame:
    rows = with_columns(rows, (*KEYS, "run_id", "init"))
    return rows.assign(condition=condition_texts(rows))


def _pairs_of_runs(frames: Frames, pairs: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Map each path and ensemble to its pair, and an ensemble of seeds to all pairs of its condition."""
    found: dict[str, tuple[str, ...]] = {}
    for frame in (frames.paths, frames.ensembles):
        if "pair" in frame:
            found |= {run_id: (pair,) for run_id, pair in zip(frame["run_id"], frame["pair"], strict=True) if pair}
    same = pairs[pairs["init"] != "different"]
    by_condition = same.groupby("condition")["run_id"].agg(tuple).to_dict() if len(same) else {}
    made = _with_conditions(frames.ensembles)
    for run_id, condition in zip(made["run_id"], made["condition"], strict=True):
        found.setdefault(run_id, by_condition.get(condition, ()))
    return found


def shift_words(pairs: pd.DataFrame) -> dict[str, Any]:
    """Describe the shift between the sides of some pairs, as it was logged; empty where it was not.

    The shift depends on the data and the split alone, so pairs of one condition have it in common.

    Args:
        pairs: rows of `query.pairs`.
    """

    def mean(name: str) -> float:
        return float(pd.to_numeric(pairs[name]).mean()) if name in pairs else float("nan")

    accuracy, low, high = (mean(f"{ACCURACY}{end}") for end in ("", "_low", "_high"))
    divergence = mean(DIVERGENCE)
    return {
        "c2st": f"{accuracy:.3f} ({low:.3f} to {high:.3f})" if accuracy == accuracy else "",
        "label_divergence": f"{divergence:.3f}" if divergence == divergence else "",
    }
