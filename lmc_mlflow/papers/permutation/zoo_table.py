"""The table of networks of one hidden layer by width, beside the permutation slides (P-05, P-06)."""

from typing import Any

import pandas as pd

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.findings.condition_table import (
    KEYS,
    Frames,
    condition_texts,
    with_columns,
)
from lmc_mlflow.findings.differences import Sample, sample_of
from lmc_mlflow.papers.cell_conditions import condition_words
from lmc_mlflow.papers.marks import NO_DATA, mark
from lmc_mlflow.papers.printed import printed_table

NETWORKS = {"moons": 50, "mnist": 10}
"""Data set -> networks behind a printed mean, as in the slides' code."""
ROUNDING = 0.0005
"""Half a unit of the last printed digit."""
_MEASURES = {"loss": "test/loss", "accuracy": "test/accuracy"}
NAMED = (
    "dataset",
    "model",
    "shift",
    "noise",
    "test_split",
    "lr",
    "optimizer",
    "batch_size",
    "schedule",
    "weight_decay",
)
"""Settings that the slides' tables name or share."""


def zoo_table(frames: Frames, min_seeds: int) -> pd.DataFrame:
    """Compute one row for each printed width and measure, of all networks trained on whole data sets (`shift=none`).

    Every network counts by itself, as on the slides: a pair of two initializations is two networks. The condition
    with most networks fills a row. The slides' rows of reduced networks are in `reduced_table`.

    Args:
        frames: as `condition_table.prepare` returns them.
        min_seeds: fewer networks are no data yet.
    """
    ends = with_columns(frames.endpoints, (*KEYS, "init"))
    if not {"test/loss", "test/accuracy"} <= set(ends):
        ends = ends.iloc[:0].assign(**dict.fromkeys(_MEASURES.values(), 0.0))
    ends = ends[(ends["shift"] == "none") & (ends["init"] == "different")]
    ends = ends.assign(condition=condition_texts(ends)) if len(ends) else ends.assign(condition="")
    full = printed_table("permutation_model_zoo")
    rows = []
    for line in full[full["config"] == "full"].to_dict("records"):
        of_width = ends[(ends["dataset"] == line["dataset"]) & (ends["model"] == f"mlp_l1_w{line['width']}")]
        chosen = of_width["condition"].value_counts()
        mine = of_width[of_width["condition"] == chosen.index[0]] if len(chosen) else of_width
        for name, column in _MEASURES.items():
            rows.append(_row(line, name, mine, column, min_seeds))
    return pd.DataFrame(rows)


def compare(values: "pd.Series[Any]", theirs: Sample, rounding: float, min_networks: int) -> dict[str, Any]:
    """Return the columns networks, mean, sd, printed_mean, printed_sd and mark of one row.

    Numbers of single networks lead to no conclusion that both could share, so a mark is `agrees` or `differs`.

    Args:
        values: ours, one a network.
        theirs: printed.
        rounding: half a unit of the last printed digit.
        min_networks: fewer networks are no data yet.
    """
    ours = sample_of(values.astype(float))
    return {
        "networks": ours.n,
        "mean": ours.mean,
        "sd": ours.deviation,
        "printed_mean": theirs.mean,
        "printed_sd": theirs.deviation,
        "mark": mark(ours, theirs, False, rounding, min_networks),
    }


def _row(line: dict[Any, Any], name: str, mine: pd.DataFrame, column: str, min_seeds: int) -> dict[str, Any]:
    mean, deviation = (float(line[f"test_{name}_{what}"]) for what in ("mean", "std"))
    found = compare(mine[column], Sample(mean, deviation, NETWORKS[line["dataset"]]), ROUNDING, min_seeds)
    return {
        "dataset": line["dataset"],
        "width": int(line["width"]),
        "measure": f"test {name}",
        **found,
        "condition": condition_words(mine.iloc[0], NAMED) if len(mine) else "",
        "command": _command(line) if found["mark"] == NO_DATA else "",
        "run_ids": " ".join(sorted(mine["run_id"])),
    }


def _command(line: dict[Any, Any]) -> str:
    return f"{RUN} sweep -P grid={line['dataset']}_zoo -P only=model=mlp_l1_w{line['width']}"
