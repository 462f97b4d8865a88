"""The page optimizers.md: Altintas et al. on MNIST, where two copies differ in the order of the images alone."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.result_pages.numbers import either, half_width, interval, joined, of, spread
from analysis.result_pages.shipped_runs import MIN_SEEDS, NAMES, ShippedRuns
from lmc_mlflow import plots
from lmc_mlflow.findings.thresholds import CONNECTED_BELOW_PCT
from lmc_mlflow.papers.altintas.tables import NOT_HELD

CLAIMS = (
    "D-01a",
    "D-01b",
    "D-01c",
    "D-02",
    "D-08a",
    "D-08b",
    "D-08c",
    "D-10",
    "D-11b",
    "D-11c",
    "D-11d",
    "D-21",
)
EPOCHS = "200"
"""Epochs of the paper."""
NAMES_OF_OPTIMIZERS = {"adam": "Adam", "sgd": "SGD"}
HEADS = {"lr": "rate", "warmup_epochs": "warm-up epochs", "batch_size": "batch size"}


def parts(runs: ShippedRuns) -> dict[str, pd.DataFrame | str]:
    """Compute the tables and sentences of optimizers.md."""
    tables = runs.content.tables
    one = _by_split(tables["altintas_table_1"], ["layers", "batch_size", "optimizer", "lr", "n"])
    two = _by_split(tables["altintas_table_2"], ["optimizer", "lr", "warmup_epochs", "n"])
    return {
        "answer": _answer(runs),
        "deep_under_adam": _deep_under_adam(tables["altintas_table_1"], runs.paths),
        "marks": _marks(tables),
        "altintas_table_2": two,
        "altintas_table_1": one,
        "altintas_table_4": _accuracies(tables["altintas_table_4"]),
        "remedies": _remedies(runs),
        "settings": _settings(runs.paths),
        "verdicts": runs.verdicts(*CLAIMS),
    }


def _answer(runs: ShippedRuns) -> str:
    table = runs.content.tables["altintas_table_1"]
    test = table[(table["split"] == "test") & (table["n"] >= MIN_SEEDS)]
    half = [half_width(row["sd"], int(row["n"])) for _, row in test.iterrows()]
    sgd, broken = test[test["optimizer"] == "sgd"], test[test["error_barrier_pct"] - half >= CONNECTED_BELOW_PCT]
    rows = [_row(row) for _, row in broken.sort_values("layers", ascending=False).iterrows()]
    below = of((sgd["error_barrier_pct"] < CONNECTED_BELOW_PCT).sum(), len(sgd))
    long = int((sgd["condition"].str.split().str[0] == EPOCHS).sum())
    printed = pd.to_numeric(test["printed_pct"], errors="coerce")
    flat = test[(printed >= CONNECTED_BELOW_PCT) & (test["error_barrier_pct"] < CONNECTED_BELOW_PCT)]
    missed = [_row(row) for _, row in flat.iterrows()]
    two = runs.content.tables["altintas_table_2"]
    two = two[(two["split"] == "test") & (two["optimizer"] == "adam") & (two["lr"] == 0.005)].set_index("warmup_epochs")
    cold, warm = two.loc[0], two.loc[10]
    return (
        f"**Only deep linear networks under Adam at its high rate: of {len(test)} rows of Table 1, "
        f"{' and '.join(rows)} are broken with their whole interval, after {_epochs(broken)} epochs; printed as "
        f"broken and connected here: {joined(missed) or 'none'}; under SGD {below} rows stay below "
        f"{CONNECTED_BELOW_PCT:g} %, {long} of them after the paper's {EPOCHS} epochs.** One hidden layer "
        f"under Adam at 0.005 has {either(cold['error_barrier_pct'], cold['sd'], 2)} % (printed "
        f"{cold['printed_pct']}), and {either(warm['error_barrier_pct'], warm['sd'], 2)} % with warm-up "
        f"(n = {int(warm['n'])}, printed {warm['printed_pct']})."
    )


def _row(row: "pd.Series[Any]") -> str:
    return (
        f"{int(row['layers'])} layers under {NAMES_OF_OPTIMIZERS[row['optimizer']]} at {row['lr']:g} "
        f"({either(row['error_barrier_pct'], row['sd'], 1)} %, printed {row['printed_pct']})"
    )


def _epochs(rows: pd.DataFrame) -> str:
    return " or ".join(sorted(set(rows["condition"].str.split().str[0]), key=int))


def _deep_under_adam(table: pd.DataFrame, paths: pd.DataFrame) -> str:
    """Write the rows of Table 1 in which the paper's Adam breaks linear networks, and their counterparts here."""
    rows = table[(table["split"] == "test") & (table["optimizer"] == "adam") & (table["layers"].isin([2, 4, 8]))]
    rows = rows[rows["batch_size"] == 1024]
    told = [
        f"{int(row['layers'])} layers at {row['lr']:g} have {either(row['error_barrier_pct'], row['sd'], 2)} % "
        f"(printed {row['printed_pct']}; n = {int(row['n'])}, {row['condition'].split()[0]} epochs, "
        f"{row['training'].split(' (')[0]} of training loss)"
        for _, row in rows.iterrows()
        if row["n"] >= MIN_SEEDS
    ]
    brief = paths[(paths["model"] == "linear_l4_w128") & (paths["optimizer"] == "adam")]
    brief = brief[(brief["lr"].astype(float) == 0.005) & (brief["epochs"].astype(int) == 20)]
    early = 100 * brief.groupby("seed")["test/error_barrier"].mean()
    return (
        f"Linear networks under Adam: {'; '.join(told)}. After 20 epochs four layers at 0.005 had "
        f"{spread(early, 2)} % (n = {len(early)})."
    )


def _marks(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    rows = []
    for name, title in (("altintas_table_1", "Table 1"), ("altintas_table_2", "Table 2")):
        known = tables[name][tables[name]["n"] >= MIN_SEEDS]
        counts = {mark: int((known["mark"] == mark).sum()) for mark in ("agrees", "same conclusion", "differs")}
        rows.append(
            {"": title, "cells with data": len(known), "undertrained": int((known["trained"] == "undertrained").sum())}
            | counts
        )
    return pd.DataFrame(rows)


def _remedies(runs: ShippedRuns) -> pd.DataFrame:
    """Compare eight linear layers under Adam at its high rate without and with a remedy."""
    paths = runs.paths
    high = (paths["model"] == "linear_l8_w128") & (paths["optimizer"] == "adam") & (paths["lr"].astype(float) == 0.005)
    losses = runs.frames.pairs.set_index("run_id")["train/loss"]
    rows = []
    settings = ["epochs", "warmup_epochs", "clip_norm"]
    for (epochs, warmup, norm), own in paths[high].assign(epochs=paths["epochs"].astype(int)).groupby(settings):
        rows.append(
            {
                "epochs": epochs,
                "warm-up epochs": f"{float(warmup):g}",
                "gradients clipped to": f"{float(norm):g}" if float(norm) else "",
                "n": len(own),
                "error barrier, test (%)": spread(100 * own["test/error_barrier"], 2),
                "training loss (nats)": spread(own["pair"].map(losses), 4),
            }
        )
    return pd.DataFrame(rows)


def _settings(paths: pd.DataFrame) -> pd.DataFrame:
    """Compare one hidden layer with and without momentum, weight decay and a schedule, the order the only noise."""
    own = paths[(paths["dataset"] == "mnist") & (paths["model"] == "mlp_l1_w128") & (paths["epochs"].astype(int) == 20)]
    own = own[own["optimizer"].eq("adam") & own["lr"].eq(0.005) | own["optimizer"].eq("sgd") & own["lr"].eq(0.1)]
    rows = []
    for (optimizer, rate, momentum, decay, schedule), part in own.groupby(
        ["optimizer", "lr", "momentum", "weight_decay", "schedule"]
    ):
        errors = 100 * part.groupby("seed")["test/error_barrier"].mean()
        rows.append(
            {
                "optimizer": optimizer,
                "rate": rate,
                "momentum": f"{float(momentum):g}",
                "weight decay": f"{float(decay):g}",
                "schedule": schedule,
                "n": len(errors),
                "error barrier, test (%)": interval(errors, 2),
            }
        )
    return pd.DataFrame(rows)


def _by_split(table: pd.DataFrame, named: list[str]) -> pd.DataFrame:
    """Put error barriers on test and training data of one printed condition side by side."""
    rows = []
    for keys, part in table[table["n"] >= MIN_SEEDS].groupby(named, sort=False):
        row = dict(zip(named, keys, strict=True))
        for split in ("test", "train"):
            one = part[part["split"] == split].iloc[0]
            head = "error barrier, test (%)" if split == "test" else "train (%)"
            row |= {head: either(one["error_barrier_pct"], one["sd"], 2), f"printed, {split}": one["printed_pct"]}
        row["epochs"] = str(part["condition"].iloc[0]).split(" epochs")[0]
        rows.append(row)
    return pd.DataFrame(rows).rename(columns=HEADS)


def _accuracies(table: pd.DataFrame) -> pd.DataFrame:
    found = table[(table["n"] >= MIN_SEEDS) & (table["printed_pct"] != NOT_HELD)]
    columns = {
        "data set": found["dataset"].map({**NAMES, "cifar10": "CIFAR-10"}),
        "layers": found["layers"],
        "rate": found["lr"],
        "n": found["n"],
        "test accuracy (%)": [either(mean, sd, 2) for mean, sd in found[["accuracy_pct", "sd"]].to_numpy()],
        "printed": found["printed_pct"],
        "epochs": found["condition"].str.extract(r"(\d+) epochs", expand=False),
    }
    return pd.DataFrame(columns)


def _figure(runs: ShippedRuns) -> Figure:
    paths = runs.frames.paths
    linear = (
        paths["model"].str.startswith("linear_")
        & (paths["warmup_epochs"].astype(float) == 0)
        & (paths["clip_norm"].astype(float) == 0)
        & (paths["init"] == "same")
        & (paths["batch_size"].astype(float) == 1024)
    )
    own = paths[linear].assign(epochs=paths["epochs"].astype(int))
    longest = own.groupby(["model", "optimizer", "lr"])["epochs"].transform("max")
    return plots.error_barrier_by_model(own[own["epochs"] == longest], by=["model", "optimizer", "lr", "epochs"])


FIGURES = {"results_optimizers.png": _figure}
