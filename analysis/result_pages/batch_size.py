"""The page batch_size.md: Hepburn et al. against Altintas et al. on whether the batch size decides."""

from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from analysis.result_pages.numbers import joined, number, of, spread
from analysis.result_pages.shipped_runs import NAMES, ShippedRuns
from lmc_mlflow import plots
from lmc_mlflow.papers.altintas.head_to_head import NONE

CLAIMS = ("H-03a", "H-03b", "H-03i", "H-50", "D-11a", "D-H-a", "D-H-b", "D-H-c")
LARGER = "larger batches: "
DRAWN = ("mlp_l1_w126", "mlp_l3_w110_256_110")
"""The networks that were trained under every source of noise."""


def parts(runs: ShippedRuns) -> dict[str, pd.DataFrame | str]:
    """Compute the tables and sentences of batch_size.md."""
    table = runs.content.tables["head_to_head"]
    return {
        "answer": _answer(runs, table),
        "head_to_head": _beside(table),
        "budgets": _budgets(runs.paths[runs.paths["dataset"] == "digits"]),
        "verdicts": runs.verdicts(*CLAIMS),
    }


def _answer(runs: ShippedRuns, table: pd.DataFrame) -> str:
    told = []
    for source, name in (
        ("covariate shift", "under 50/50 halves"),
        ("label imbalance", "under label imbalance"),
        ("order alone", "where the order of the images alone differs"),
    ):
        says = table.loc[table["source"] == source, "loss_says"]
        named = {NONE: "without a difference", "undecided": "undecided"}
        others = [f"{n} {word}" for value, word in named.items() if (n := int((says == value).sum()))]
        told.append(
            f"{name} in {of((says == LARGER + 'lower').sum(), len(says))} comparisons"
            f"{f' ({joined(others)})' if others else ''}"
        )
    by_steps = runs.content.verdicts["H-03i"]["interpolate"]
    counts = by_steps.counts
    return (
        f"**At equal epochs a larger batch lowers the barrier in the basin {', '.join(told)}.** Small batches take "
        f"more steps there. At equal numbers of steps the claim that a larger batch lowers the barrier is "
        f"{_said(by_steps.answer)}: {counts['for']} for, {counts['against']} against, {counts['neither']} neither."
    )


def _said(answer: str) -> str:
    return "without data" if answer == "insufficient" else answer


def _beside(table: pd.DataFrame) -> pd.DataFrame:
    small, large = (table[f"batch_{size}"].map("{:,}".format) for size in ("small", "large"))
    columns = {
        "source of noise": table["source"],
        "data": table["dataset"].map({**NAMES, "cifar10": "CIFAR-10"}),
        "network": "`" + table["model"] + "`",
        "scaling": table["normalization"],
        "optimizer, rate": table["optimizer"] + ", " + table["lr"].map("{:g}".format),
        "batch sizes": small + ", " + large,
        "n": table["n"],
        "error barrier (%), small batch": table["error_pct_small"].map(partial(number, decimals=2)),
        "large batch": table["error_pct_large"].map(partial(number, decimals=2)),
        "barrier (nats), small batch": table["barrier_small"].map(partial(number, decimals=4)),
        "large batch ": table["barrier_large"].map(partial(number, decimals=4)),
        "by error, larger batches": table["error_says"].str.removeprefix(LARGER),
        "by loss": table["loss_says"].str.removeprefix(LARGER),
    }
    return pd.DataFrame(columns)


def _budgets(paths: pd.DataFrame) -> pd.DataFrame:
    """Compare barriers after equal epochs, equal steps and at an equal training loss."""
    numbers = {name: pd.to_numeric(paths[name], errors="coerce") for name in ("steps", "until_train_loss")}
    budget = paths["epochs"].map("{} epochs".format)
    budget = budget.mask(numbers["steps"].notna(), numbers["steps"].map("{:g} steps".format))
    budget = budget.mask(
        numbers["until_train_loss"].notna(), numbers["until_train_loss"].map("to a training loss of {:g}".format)
    )
    rows = []
    for (lr, size), own in paths.assign(budget=budget).groupby(["lr", "batch_size"], sort=True):
        row = {"rate": f"{lr:g}", "batch size": size, "n": own["seed"].nunique()}
        for name, part in sorted(own.groupby("budget"), key=lambda one: _place(one[0])):
            row[f"{name} (nats)"] = spread(part["test/barrier_in_basin"], 2)
        rows.append(row)
    return pd.DataFrame(rows)


def _place(budget: str) -> int:
    """Put epochs first, then steps, then losses."""
    return 0 if budget.endswith("epochs") else 1 if budget.endswith("steps") else 2


def _figure(runs: ShippedRuns) -> Figure:
    paths = runs.frames.paths
    return plots.barrier_by_noise_source(paths[(paths["dataset"] == "mnist") & paths["model"].isin(DRAWN)])


FIGURES = {"results_batch_size.png": _figure}
