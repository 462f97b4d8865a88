"""The runs of a store by condition, whatever the papers say of them: the first section of a report."""

from dataclasses import dataclass

import pandas as pd

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.findings.condition_table import Frames
from lmc_mlflow.findings.conditions import per_seed
from lmc_mlflow.findings.overview import PathCondition, pair_conditions, path_conditions, summary

SCORES = {
    "test/accuracy": "test accuracy (%)",
    "test/average_precision": "test average precision (%)",
    "train/accuracy": "training accuracy (%)",
}
"""Columns of pairs that are shown where some pair has them -> their headings."""


@dataclass(frozen=True)
class MyRuns:
    """What the first section says.

    Attributes:
        summary: in one or two sentences, with Markdown's bold.
        conditions: of the paths, for the figure.
        paths: a row for each of them, numbers as text; `run_ids` last.
        pairs: a row for each condition of pairs, in the same form.
        command: that makes what is missing; empty where there are paths.
    """

    summary: str
    conditions: tuple[PathCondition, ...]
    paths: pd.DataFrame
    pairs: pd.DataFrame
    command: str


def my_runs(frames: Frames) -> MyRuns:
    """Summarize pairs and paths by condition.

    Args:
        frames: as read, under the names of the store.
    """
    paths = [table for table in (frames.paths, frames.other_paths) if len(table)]
    conditions = tuple(path_conditions(pd.concat(paths, ignore_index=True) if paths else frames.paths))
    pairs = pair_conditions(frames.pairs.sort_values("run_id"))
    missing = "" if conditions else f"{RUN} interpolate -P pair={pairs[0][1]['run_id'].iloc[0] if pairs else '<pair>'}"
    if not pairs and not conditions:
        missing = f"{RUN} main"
    return MyRuns(
        summary(frames.pairs, conditions), conditions, _path_rows(conditions), _pair_rows(frames.pairs, pairs), missing
    )


def _path_rows(conditions: tuple[PathCondition, ...]) -> pd.DataFrame:
    rows = [
        {
            "condition": one.label,
            "between": one.between,
            "n": one.num_seeds,
            "verdict": one.verdict,
            "paths": one.connected_text,
            "barrier in basin (nats)": _spread(one.paths, "barrier", 3),
            "accuracy delta (points)": _spread(one.paths, "delta", 1),
            "run_ids": " ".join(sorted(one.paths["run_id"])),
        }
        for one in conditions
    ]
    return pd.DataFrame(rows)


def _pair_rows(every: pd.DataFrame, conditions: list[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    shown = {name: head for name, head in SCORES.items() if name in every and every[name].notna().any()}
    rows = []
    for label, pairs in conditions:
        scores = {head: _spread(pairs.assign(**{name: 100 * pairs[name]}), name, 1) for name, head in shown.items()}
        loss = {"test loss (nats)": _spread(pairs, "test/loss", 3)} if "test/loss" in pairs else {}
        numbers = {"n": len(per_seed(pairs.assign(one=1), "one")), **scores, **loss}
        rows.append({"condition": label, **numbers, "run_ids": " ".join(sorted(pairs["run_id"]))})
    return pd.DataFrame(rows)


def _spread(rows: pd.DataFrame, value: str, decimals: int) -> str:
    """Write mean and sample deviation over seeds; empty where no run has the value."""
    values = per_seed(rows, value).dropna()
    if values.empty:
        return ""
    mean = f"{values.mean():.{decimals}f}".replace("-0." + "0" * decimals, "0." + "0" * decimals)
    return mean if len(values) < 2 else f"{mean} ± {values.std(ddof=1):.{decimals}f}"
