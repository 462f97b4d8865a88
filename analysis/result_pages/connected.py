"""The page connected.md: MLPs of Tables VI and VIII beside the printed numbers."""

import math
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.result_pages.numbers import either, interval, number, of, spread
from analysis.result_pages.shipped_runs import MIN_SEEDS, NAMES, ShippedRuns
from lmc_mlflow import plots
from lmc_mlflow.findings.thresholds import FLAT_BELOW
from lmc_mlflow.papers.marks import NO_DATA

TABLES = ("table_vi", "table_viii")
SETTINGS = ["dataset", "model", "normalization", "batch_size", "lr"]
CIFAR10 = "cifar10"
IN_BASIN, DELTA = "test/barrier_in_basin", "test/accuracy_delta"
MAIN_SCALING, OTHER_SCALING = "centered", "half"
"""Of MNIST, which the paper leaves open."""
MNIST_EPOCHS = 21
DEVIATIONS = 3
"""Printed deviations within which a mean has the printed height (X3b)."""
COMPARABLE = 0.05
"""Nats: a smaller printed barrier has no ratio to ours that means anything."""


def parts(runs: ShippedRuns) -> dict[str, pd.DataFrame | str]:
    """Compute the tables and sentences of connected.md."""
    rows = _rows(runs)
    tables: dict[str, pd.DataFrame | str] = {"rows": _beside(rows), "marks": _marks(runs), "pairs": _side_a(runs)}
    return {"answer": _answer(rows), **tables, "scaling": _scalings(runs, rows)}


def _rows(runs: ShippedRuns) -> pd.DataFrame:
    """Find the cells of MLPs with data, each once: six stand in both tables, and MNIST has another scaling beside."""
    cells = pd.concat([runs.content.tables[name] for name in TABLES], ignore_index=True)
    cells = cells[(cells["bn"] == "interpolate") & (cells["barrier_mark"] != NO_DATA)]
    cells = cells[(cells["dataset"] != "mnist") | (cells["normalization"] == MAIN_SCALING)]
    cells = cells[cells["model"].str.startswith("mlp_")].drop_duplicates(SETTINGS)
    return cells.assign(
        ours=(cells["has_barrier"] == "no") & (cells["lost"] == "no"),
        theirs=(cells["paper_has_barrier"] == "no") & (cells["paper_lost"] == "no"),
    ).sort_values(["batch_size", "dataset", "normalization", "model", "lr"], ascending=[False, False, True, True, True])


def _answer(rows: pd.DataFrame) -> str:
    large, small = rows[rows["batch_size"] == 1024], rows[rows["batch_size"] == 32]
    told = [
        f"at batch size {size:,} in {of(part['ours'].sum(), len(part))} conditions (printed: "
        f"{int(part['theirs'].sum())})"
        for size, part in ((1024, large), (32, small))
    ]
    ratios = []
    for epochs, part in large[large["paper_barrier"] >= COMPARABLE].groupby(_epochs(large), sort=True):
        mean = math.exp(part.loc[part["in_basin"] > 0, "ratio"].map(math.log).mean())
        lower = of((part["ratio"] < 1).sum(), len(part))
        ratios.append(f"{number(mean, 2)} times the printed one with {epochs} epochs ({lower} lower)")
    return (
        f"**By the means of barrier and accuracy, MLPs trained on two halves stay in one basin {' and '.join(told)}; "
        f"the verdict is the printed one in "
        f"{of((rows['ours'] == rows['theirs']).sum(), len(rows))}.** At 1,024, where the paper prints 0.05 nats or "
        f"more, ours is in the geometric mean {' and '.join(ratios)}; 400 epochs reach the printed "
        "training accuracies of one hidden layer."
    )


def _epochs(rows: pd.DataFrame) -> "pd.Series[int]":
    return rows["condition"].str.extract(r"(\d+) epochs", expand=False).astype(int)


def _marks(runs: ShippedRuns) -> pd.DataFrame:
    cells = []
    for name in TABLES:
        table = runs.content.tables[name]
        rows = table[(table["bn"] == "interpolate") & (table["barrier_mark"] != NO_DATA)]
        for measure, column in (("barrier", "barrier_mark"), ("accuracy delta", "delta_mark")):
            for size in (1024, 32):
                found = rows[rows["batch_size"] == size][column]
                title = f"Table {name.removeprefix('table_').upper()}, {measure}, batch size {size:,}"
                counts = {mark: int((found == mark).sum()) for mark in ("agrees", "same conclusion", "differs")}
                cells.append({"with interpolated statistics": title, "cells with data": len(found)} | counts)
    return pd.DataFrame(cells)


def _beside(rows: pd.DataFrame) -> pd.DataFrame:
    """Put each cell beside the printed one."""
    columns = {
        "data": rows["dataset"].map({**NAMES, CIFAR10: "CIFAR-10"}),
        "network": "`" + rows["model"] + "`",
        "scaling": rows["normalization"],
        "batch": rows["batch_size"],
        "rate": rows["lr"].map("{:g}".format),
        "epochs": _epochs(rows),
        "barrier in the basin (nats)": _spreads(rows, "in_basin", "in_basin_sd", 2),
        "printed": _spreads(rows, "paper_barrier", "paper_barrier_sd", 2),
        "accuracy delta (points)": _spreads(rows, "delta", "delta_sd", 1, "+"),
        "printed ": _spreads(rows, "paper_delta", "paper_delta_sd", 1, "+"),
        "connected seeds": rows["holds"],
        "connected, by the printed means": rows["theirs"].map({True: "yes", False: "no"}),
    }
    return pd.DataFrame(columns)


def _scalings(runs: ShippedRuns, rows: pd.DataFrame) -> pd.DataFrame:
    """Put both scalings of MNIST beside the printed rows of three layers at batch size 32 (X3b)."""
    paths = runs.paths[(runs.paths["pair"] != "") & (runs.paths["bn"] == "interpolate")]
    paths = paths[paths["epochs"].astype(float) == MNIST_EPOCHS]
    table = []
    for _, row in rows[(rows["dataset"] == "mnist") & (rows["batch_size"] == 32)].iterrows():
        own = {scaling: _by_seed(paths, row, scaling) for scaling in (MAIN_SCALING, OTHER_SCALING)}
        if len(own[OTHER_SCALING]) < MIN_SEEDS:
            continue
        cells = {"network": f"`{row['model']}`", "rate": f"{row['lr']:g}"}
        printed = either(row["paper_barrier"], row["paper_barrier_sd"], 2)
        cells["printed"] = f"{printed}, {number(row['paper_delta'], 1)}"
        for scaling, means in own.items():
            barriers, delta = means[IN_BASIN], number(100 * means[DELTA].mean(), 1, "+")
            found = printed_height(barriers, row["paper_barrier"], row["paper_barrier_sd"])
            cells[scaling] = f"{spread(barriers, 2)}, {delta} (n = {len(means)}){': ' * bool(found)}{found}"
        more = (own[OTHER_SCALING][IN_BASIN] - own[MAIN_SCALING][IN_BASIN]).dropna()
        table.append(cells | {f"{OTHER_SCALING} minus {MAIN_SCALING} (nats)": interval(more, 2, "+")})
    return pd.DataFrame(table)


def _by_seed(paths: pd.DataFrame, row: "pd.Series[Any]", scaling: str) -> pd.DataFrame:
    """Average the paths of each seed that were trained as a row of the tables says, under a scaling."""
    own = paths[paths["normalization"] == scaling]
    for name in ("dataset", "model", "shift", "noise"):
        own = own[own[name] == row[name]]
    for name in ("batch_size", "lr"):
        own = own[own[name].astype(float) == float(row[name])]
    return own.groupby("seed")[[IN_BASIN, DELTA]].mean()


def printed_height(barriers: "pd.Series[float]", printed: float, deviation: float) -> str:
    """Say by the rule of X3b how barriers in the basin (nats) stand to a printed one, which is above 0.1."""
    mean = barriers.mean()
    if abs(mean - printed) <= DEVIATIONS * deviation:
        return "printed height" if mean > FLAT_BELOW else "within three deviations"
    return "printed conclusion" if mean > FLAT_BELOW else ""


def _spreads(rows: pd.DataFrame, mean: str, deviation: str, decimals: int, sign: str = "") -> list[str]:
    return [either(value, sd, decimals, sign) for value, sd in rows[[mean, deviation]].astype(float).to_numpy()]


def _side_a(runs: ShippedRuns) -> pd.DataFrame:
    """Compare the accuracy delta on test images with that on the images that side A was trained on."""
    paths = runs.paths
    one_layer = (
        paths["model"].isin(["mlp_l1_w126", "mlp_l1_w587"]) & (paths["pair"] != "") & (paths["bn"] == "interpolate")
    )
    long = paths[one_layer & (paths["epochs"].astype(float) >= 100) & (paths["shift"] == "label_5050")]
    rows = []
    for (dataset, scaling, epochs), own in long.groupby(["dataset", "normalization", "epochs"], sort=True):
        rows.append(
            {
                "data": NAMES[dataset],
                "scaling": scaling,
                "epochs": epochs,
                "n": len(own),
                "delta on test images (points)": number(100 * own["test/accuracy_delta"].mean(), 1, "+"),
                "delta on the images of side A": number(100 * own["train_a/accuracy_delta"].mean(), 1, "+"),
                "angle (degrees)": number(own["angle_deg"].mean(), 1),
                "connected": of((own["connected"] == "yes").sum(), len(own)),
            }
        )
    return pd.DataFrame(rows)


def _beside_paper(runs: ShippedRuns) -> Figure:
    return plots.beside_paper(_rows(runs), "MLPs of Tables VI and VIII beside the printed values")


FIGURES = {"results_connected.png": _beside_paper}
