"""Tables of paper.md."""

from typing import Any

import pandas as pd

from analysis.result_pages.numbers import MIN_SEEDS, Tables, either, shipped_content
from lmc_mlflow.papers.hepburn.tables import TITLES
from lmc_mlflow.papers.marks import NO_DATA

STAND_INS = {"imagefolder": "cifar10", "resnet10_s222": "resnet10"}
STATISTICS = {"interpolate": "interpolated", "recalibrate": "recalibrated", "nearest": "nearest"}


def paper_tables() -> Tables:
    """Compute the tables of paper.md."""
    content = shipped_content(STAND_INS)
    cells = []
    for name in ("table_vi", "table_viii"):
        table = content.tables[name]
        rows = table[(table["bn"] == "interpolate") & (table["barrier_mark"] != NO_DATA)]
        for measure, column in (("barrier", "barrier_mark"), ("accuracy delta", "delta_mark")):
            for size in (1024, 32):
                found = rows[rows["batch_size"] == size][column]
                title = f"{TITLES[name].split(':')[0]}, {measure}, batch size {size:,}"
                counts = {mark: int((found == mark).sum()) for mark in ("agrees", "same conclusion", "differs")}
                cells.append({"with interpolated statistics": title, "cells with data": len(found)} | counts)
    imbalance = content.tables["table_vii"]
    imbalance = imbalance[(imbalance["n"] >= MIN_SEEDS) & (imbalance["shift"] == "label_2080")]
    return {"cells": pd.DataFrame(cells), "resnet10_mnist": pd.DataFrame(_imbalance_rows(imbalance))}


def _imbalance_rows(found: pd.DataFrame) -> list[dict[str, Any]]:
    """Make one row for each policy; the first names the shift and the printed values."""
    rows: list[dict[str, Any]] = []
    for row in found.to_dict("records"):
        theirs = f"{row['paper_barrier']} +- {row['paper_barrier_sd']}, {row['paper_delta']:.1f}"
        rows.append(
            {
                "shift": "" if rows else f"`{row['shift']}`",
                "running statistics": STATISTICS[row["bn"]],
                "barrier": either(row["barrier"], row["barrier_sd"], 3),
                "accuracy delta (points)": either(row["delta"], row["delta_sd"], 2, "+"),
                "connected": row["holds"],
                "paper": "" if rows else theirs,
            }
        )
    return rows
