"""The page batch_size.md: Hepburn et al. against Altintas et al. on whether the batch size decides."""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.result_pages.connected import CIFAR10, LONG, SHORT, epochs_of, mlp_rows
from analysis.result_pages.numbers import either, joined, number, of, spread
from analysis.result_pages.shipped_runs import NAMES, ShippedRuns
from lmc_mlflow import plots
from lmc_mlflow.findings.conditions import COVARIATE, IMBALANCE, ORDER
from lmc_mlflow.findings.differences import Sample, contrast_of
from lmc_mlflow.findings.thresholds import NEGLIGIBLE
from lmc_mlflow.papers.altintas.head_to_head import NONE

CLAIMS = ("H-03a", "H-03b", "H-03i", "H-50", "D-11a", "D-H-a", "D-H-b", "D-H-c")
LARGER = "larger batches: "
HALVES = "50/50 halves"
"""What the paper calls a covariate shift: two samples of one distribution."""
SMALL, LARGE, IMAGES = 32, 1024, 25_000
"""Batch sizes of Tables VI and VIII, and training images of one half of CIFAR-10."""
DRAWN = ("mlp_l1_w126", "mlp_l3_w110_256_110")
"""The networks that were trained under every source of noise."""


def parts(runs: ShippedRuns) -> dict[str, pd.DataFrame | str]:
    """Compute the tables and sentences of batch_size.md."""
    table = runs.content.tables["head_to_head"]
    return {
        "answer": _answer(runs, table),
        "head_to_head": _beside(table),
        "comparable_steps": pd.DataFrame([row for row, _ in _comparable_steps(runs)]),
        "budgets": _budgets(runs.paths[runs.paths["dataset"] == "digits"]),
        "verdicts": runs.verdicts(*CLAIMS),
    }


def _answer(runs: ShippedRuns, table: pd.DataFrame) -> str:
    told = []
    for source, name in (
        (COVARIATE, f"under {HALVES}"),
        (IMBALANCE, f"under {IMBALANCE}"),
        (ORDER, "where the order of the images alone differs"),
    ):
        says = table.loc[table["source"] == source, "loss_says"]
        named = {NONE: "without a difference", "undecided": "undecided"}
        others = [f"{n} {word}" for value, word in named.items() if (n := int((says == value).sum()))]
        told.append(
            f"{name} in {of((says == LARGER + 'lower').sum(), len(says))} comparisons"
            f"{f' ({joined(others)})' if others else ''}"
        )
    by_steps = runs.content.verdicts["H-03i"]["interpolate"]
    counts, ways = by_steps.counts, [way for _, way in _comparable_steps(runs)]
    return (
        f"**At equal epochs a larger batch lowers the barrier in the basin {', '.join(told)}.** Small batches take "
        f"more steps there. At equal numbers of steps the claim that a larger batch lowers the barrier is "
        f"{_said(by_steps.answer)}: {counts['for']} for, {counts['against']} against, {counts['neither']} neither; on "
        f"CIFAR-10, after {_steps(LARGE, LONG) / _steps(SMALL, SHORT):.1f} times as many steps as batches of {SMALL}, "
        f"batches of {LARGE:,} have a lower barrier in {of(ways.count(1), len(ways))} rows and a higher one in "
        f"{ways.count(-1)}."
    )


def _comparable_steps(runs: ShippedRuns) -> Iterator[tuple[dict[str, Any], int | None]]:
    """Compare rows of Tables VI and VIII whose large batches were trained for long with those of small batches.

    Yields:
        A row of the table, and whether the larger batch is lower (1), higher (-1) or neither (0).
    """
    rows = mlp_rows(runs)
    rows = rows[rows["dataset"] == CIFAR10].assign(epochs=epochs_of(rows))
    for (model, scaling, lr), own in rows.groupby(["model", "normalization", "lr"], sort=True):
        found = {(int(row["batch_size"]), int(row["epochs"])): row for _, row in own.iterrows()}
        if set(found) != {(SMALL, SHORT), (LARGE, LONG)}:
            continue
        table_row = {"network": f"`{model}`", "scaling": scaling, "rate": f"{lr:g}"}
        samples = []
        for (size, epochs), row in sorted(found.items()):
            samples.append(Sample(float(row["in_basin"]), float(row["in_basin_sd"]), int(row["n"])))
            head = f"batches of {size:,}, {epochs} epochs, {_steps(size, epochs):,} steps (nats)"
            table_row[head] = either(samples[-1].mean, samples[-1].deviation, 2)
        larger = contrast_of((-1, 1), samples)
        low, high = larger.interval()
        value, *ends = (number(one, 2, "+") for one in (larger.value, low, high))
        table_row["large minus small (nats)"] = f"{value} ({' to '.join(ends)})"
        way = larger.direction(NEGLIGIBLE["in_basin"])
        yield table_row, None if way is None else -way


def _steps(batch_size: int, epochs: int) -> int:
    return math.ceil(IMAGES / batch_size) * epochs


def _said(answer: str) -> str:
    return "without data" if answer == "insufficient" else answer


def _beside(table: pd.DataFrame) -> pd.DataFrame:
    small, large = (table[f"batch_{size}"].map("{:,}".format) for size in ("small", "large"))
    columns = {
        "what differs": table["source"].replace(COVARIATE, HALVES),
        "data": table["dataset"].map({**NAMES, "cifar10": "CIFAR-10"}),
        "network": "`" + table["model"] + "`",
        "scaling": table["normalization"],
        "optimizer, rate": table["optimizer"] + ", " + table["lr"].map("{:g}".format),
        "batch sizes": small + ", " + large,
        "n": table["n"],
        "error barrier (%), small batch": table["error_pct_small"].map(partial(number, decimals=2)),
        "error barrier (%), large batch": table["error_pct_large"].map(partial(number, decimals=2)),
        "barrier (nats), small batch": table["barrier_small"].map(partial(number, decimals=4)),
        "barrier (nats), large batch": table["barrier_large"].map(partial(number, decimals=4)),
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
