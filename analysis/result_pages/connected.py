"""The page connected.md: MLPs of Tables VI and VIII beside the printed numbers."""

import math

import pandas as pd
from matplotlib.figure import Figure

from analysis.result_pages.batch_norm import fits_printed
from analysis.result_pages.mnist_scaling import (
    DELTA,
    IN_BASIN,
    MAIN_SCALING,
    by_seed,
    judge_scalings,
    scaled_rows,
    scalings,
)
from analysis.result_pages.numbers import either, interval, joined, number, of, spread
from analysis.result_pages.shipped_runs import MIN_SEEDS, NAMES, STAND_INS, ShippedRuns
from lmc_mlflow import plots
from lmc_mlflow.papers.marks import AGREES, NO_DATA

TABLES = ("table_vi", "table_viii")
SETTINGS = ["dataset", "model", "normalization", "batch_size", "lr"]
CIFAR10 = "cifar10"
DATA = {**NAMES, CIFAR10: "CIFAR-10"}
SHORT, LONG = 21, 400
"""Epochs of the rows: the least that the paper's text allows, and those at which its accuracies lie."""
OTHER_POLICIES = ("recalibrate", "nearest")
"""Ways to treat the statistics of batch norm besides interpolating them."""
COMPARABLE = 0.05
"""Nats: a smaller printed barrier has no ratio to ours that means anything."""


def parts(runs: ShippedRuns) -> dict[str, pd.DataFrame | str]:
    """Compute the tables and sentences of connected.md."""
    rows = mlp_rows(runs)
    tables: dict[str, pd.DataFrame | str] = {"rows": _beside(rows), "marks": _marks(runs), "pairs": _side_a(runs)}
    scaled = list(scaled_rows(runs, rows))
    scaling = {"scaling": scalings(scaled), "scaling_reading": judge_scalings(scaled)}
    trained = {"growth": _growth(runs, rows), "policies": _policies(runs, rows), "reading": _reading(rows)}
    trained["rates"] = _rates(runs, rows)
    return {"answer": _answer(rows), **tables, **trained, **scaling}


def mlp_rows(runs: ShippedRuns) -> pd.DataFrame:
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
    for epochs, part in large[large["paper_barrier"] >= COMPARABLE].groupby(epochs_of(large), sort=True):
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


def _reading(rows: pd.DataFrame) -> str:
    """Say how many rows agree with the printed ones, by their length of training (X2)."""
    large, told = rows[rows["batch_size"] == 1024], []
    for epochs, part in large.groupby(epochs_of(large), sort=False):
        barriers, deltas = ((part[mark] == AGREES).sum() for mark in ("barrier_mark", "delta_mark"))
        told.append(f"{of(barriers, len(part))} barriers and {of(deltas, len(part))} deltas with {epochs} epochs")
    long = large[(epochs_of(large) == LONG) & (large["paper_barrier"] >= COMPARABLE)]
    lower = of((long["ratio"] < 1).sum(), len(long))
    others = [
        f"`{row['model']}` at the rate {row['lr']:g} and {row['batch_size']:,} ("
        f"{DATA[row['dataset']]}, {row['normalization']}; {row['holds']} seeds connected)"
        for _, row in rows[rows["ours"] != rows["theirs"]].iterrows()
    ]
    return (
        f"At 1,024 these agree with the printed ones by the [marks of the report](../report.md): {joined(told)}. Of "
        f"the barriers with {LONG} epochs {lower} are below the printed mean. The verdict by the means is not the "
        f"printed one for {joined(others) if others else 'no row'}."
    )


def _growth(runs: ShippedRuns, rows: pd.DataFrame) -> pd.DataFrame:
    """Put the networks with batch norm that were trained for both lengths beside the printed rows, seed by seed."""
    paths = runs.paths[runs.paths["pair"] != ""]
    paths = paths.assign(dataset=paths["dataset"].replace(STAND_INS))
    lengths, plain = paths["epochs"].astype(float), paths["bn"] == "interpolate"
    table = []
    for _, row in rows[(rows["batch_size"] == 1024) & rows["model"].str.endswith("_bn")].iterrows():
        short, long = (
            by_seed(paths[plain & (lengths == epochs)], row, row["normalization"]) for epochs in (SHORT, LONG)
        )
        grown = (long - short).dropna()
        if len(grown) < MIN_SEEDS:
            continue
        cells = {"network": f"`{row['model']}`", "scaling": row["normalization"], "rate": f"{row['lr']:g}"}
        for measure, name, factor, decimals, sign in (
            (IN_BASIN, "in the basin (nats)", 1, 2, ""),
            (DELTA, "accuracy delta (points)", 100, 1, "+"),
        ):
            printed = "barrier" if measure == IN_BASIN else "delta"
            ends = [spread(factor * own.loc[grown.index, measure], decimals, sign) for own in (short, long)]
            theirs = either(row[f"paper_{printed}"], row[f"paper_{printed}_sd"], decimals, sign)
            cells |= {f"{name}, {SHORT} epochs": ends[0], f"{name}, {LONG} epochs": ends[1]}
            cells |= {f"printed, {printed}": theirs}
            if measure == IN_BASIN:
                cells["growth (nats)"] = interval(grown[measure], 2, "+")
        for policy in OTHER_POLICIES:
            own = by_seed(paths[(lengths == LONG) & (paths["bn"] == policy)], row, row["normalization"])[IN_BASIN]
            cells[f"`{policy}`, in the basin (nats), {LONG} epochs"] = spread(own, 2)
        table.append(cells | {"n": len(grown)})
    return pd.DataFrame(table)


def _policies(runs: ShippedRuns, rows: pd.DataFrame) -> str:
    """Count under which statistics networks with batch norm that were trained for long have the printed barriers."""
    paths = runs.paths[runs.paths["pair"] != ""]
    paths = paths.assign(dataset=paths["dataset"].replace(STAND_INS))
    long = paths[paths["epochs"].astype(float) == LONG]
    rows = rows[(rows["batch_size"] == 1024) & rows["model"].str.endswith("_bn") & (epochs_of(rows) == LONG)]
    told = []
    for policy in ("interpolate", *OTHER_POLICIES):
        fits = 0
        for _, row in rows.iterrows():
            own = by_seed(long[long["bn"] == policy], row, row["normalization"])[IN_BASIN]
            printed = pd.Series({"barrier": row["paper_barrier"], "barrier_sd": row["paper_barrier_sd"]})
            fits += fits_printed(own, printed)
        told.append(f"`{policy}` in {of(fits, len(rows))}")
    return (
        "By the tolerance of [E2b](batch_norm.md) (three printed deviations, and 0.005 for rounding; applied to the "
        f"barrier in the basin, and exploratory here) the printed barrier is met under {joined(told)} of these rows."
    )


def _rates(runs: ShippedRuns, rows: pd.DataFrame) -> str:
    """Compare both rates of networks that were trained for long, and say what becomes of the claim on rates."""
    long, told = rows[(rows["batch_size"] == 1024) & (epochs_of(rows) == LONG)], []
    for (model, scaling), own in long.groupby(["model", "normalization"], sort=True):
        if len(own) > 1:
            of_rates = [
                f"{either(row['in_basin'], row['in_basin_sd'], 2)} at {row['lr']:g}"
                for _, row in own.sort_values("lr").iterrows()
            ]
            told.append(f"`{model}` ({scaling}) has {' and '.join(of_rates)}")
    verdict = runs.content.verdicts["H-03c"]["interpolate"]
    counts = verdict.counts
    return (
        f"A smaller rate does not lower every barrier: after {LONG} epochs {joined(told)}. The claim that it does "
        f"(H-03c, mostly) is {verdict.answer} by these runs: {counts['for']} for, {counts['against']} against, "
        f"{counts['neither']} neither."
    )


def epochs_of(rows: pd.DataFrame) -> "pd.Series[int]":
    """Read the epochs of cells from their conditions."""
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
                cells.append(
                    {"table and measure (interpolated statistics)": title, "cells with data": len(found)} | counts
                )
    return pd.DataFrame(cells)


def _beside(rows: pd.DataFrame) -> pd.DataFrame:
    """Put each cell beside the printed one."""
    columns = {
        "data": rows["dataset"].map(DATA),
        "network": "`" + rows["model"] + "`",
        "scaling": rows["normalization"],
        "batch": rows["batch_size"],
        "rate": rows["lr"].map("{:g}".format),
        "epochs": epochs_of(rows),
        "barrier in the basin (nats)": _spreads(rows, "in_basin", "in_basin_sd", 2),
        "printed, barrier": _spreads(rows, "paper_barrier", "paper_barrier_sd", 2),
        "accuracy delta (points)": _spreads(rows, "delta", "delta_sd", 1, "+"),
        "printed, delta": _spreads(rows, "paper_delta", "paper_delta_sd", 1, "+"),
        "connected seeds": rows["holds"],
        "connected, by our means": rows["ours"].map({True: "yes", False: "no"}),
        "by the printed means": rows["theirs"].map({True: "yes", False: "no"}),
    }
    return pd.DataFrame(columns)


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
                "delta on the images of side A (points)": number(100 * own["train_a/accuracy_delta"].mean(), 1, "+"),
                "angle (degrees)": number(own["angle_deg"].mean(), 1),
                "connected": of((own["connected"] == "yes").sum(), len(own)),
            }
        )
    return pd.DataFrame(rows)


def _beside_paper(runs: ShippedRuns) -> Figure:
    return plots.beside_paper(mlp_rows(runs), "MLPs of Tables VI and VIII beside the printed values")


FIGURES = {"results_connected.png": _beside_paper}
