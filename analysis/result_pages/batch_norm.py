"""The page batch_norm.md: ResNets under label imbalance, with every way to treat the statistics of batch norm."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.result_pages.numbers import either, interval
from analysis.result_pages.shipped_runs import MIN_SEEDS, ShippedRuns
from lmc_mlflow import plots
from lmc_mlflow.papers.hepburn.tables import TITLES

STATISTICS = {"interpolate": "interpolated", "recalibrate": "recalibrated", "nearest": "nearest"}
MODEL = "resnet10_s222"


def parts(runs: ShippedRuns) -> dict[str, pd.DataFrame | str]:
    """Compute the tables and sentences of batch_norm.md."""
    table = runs.content.tables["table_vii"]
    found = table[(table["n"] >= MIN_SEEDS) & (table["dataset"] == "mnist")]
    return {"answer": _answer(runs), "resnet10_mnist": pd.DataFrame(_rows(found)), "verdicts": runs.verdicts("H-02b")}


def _answer(runs: ShippedRuns) -> str:
    told = []
    for shift, name in (("label_2080", "20/80 labels"), ("label_5050", "50/50 halves")):
        own = _of(runs, shift, "interpolate")["test/barrier"]
        if len(own) >= MIN_SEEDS:
            told.append(f"{interval(own, 3)} nats under {name} (n = {len(own)})")
    theirs = runs.content.tables["table_vii"]
    theirs = theirs[(theirs["dataset"] == "mnist") & (theirs["model"] == "resnet10") & (theirs["lr"] == 0.001)]
    theirs = theirs[theirs["shift"] == "label_2080"]["paper_barrier"].iloc[0]
    nearest = interval(_of(runs, "label_2080", "nearest")["test/barrier"], 2)
    return (
        f"**Not here: with interpolated statistics the barrier of ResNet10 on MNIST is {' and '.join(told)}; the paper "
        f"prints {theirs:g} under 20/80 labels.** Only `nearest`, the statistics of the nearer end, breaks the "
        f"connection, with "
        f"{nearest} nats. Strides and epochs are ours: these runs say nothing about the cause of the printed barrier."
    )


def _of(runs: ShippedRuns, shift: str, bn: str) -> pd.DataFrame:
    paths = runs.paths
    chosen = (paths["model"] == MODEL) & (paths["shift"] == shift) & (paths["bn"] == bn) & (paths["pair"] != "")
    return paths[chosen & (paths["lr"].astype(float) == 0.001) & (paths["batch_size"].astype(float) == 1024)]


def _rows(found: pd.DataFrame) -> list[dict[str, Any]]:
    """Make one row for each shift and policy; the first of a shift names it and the printed values."""
    rows: list[dict[str, Any]] = []
    named: set[str] = set()
    for row in found.to_dict("records"):
        first = row["shift"] not in named
        named.add(row["shift"])
        theirs = f"{row['paper_barrier']} +- {row['paper_barrier_sd']}, {row['paper_delta']:.1f}"
        rows.append(
            {
                "shift": f"`{row['shift']}`" if first else "",
                "running statistics": STATISTICS[row["bn"]],
                "n": row["n"],
                "barrier": either(row["barrier"], row["barrier_sd"], 3),
                "accuracy delta (points)": either(row["delta"], row["delta_sd"], 2, "+"),
                "connected": row["holds"],
                "paper": theirs if first else "",
            }
        )
    return rows


def _figure(runs: ShippedRuns) -> Figure:
    return plots.beside_paper(runs.content.tables["table_vii"], TITLES["table_vii"])


FIGURES = {"results_batch_norm.png": _figure}
