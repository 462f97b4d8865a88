"""The page when.md: two sides that share k epochs, or start from a pretrained network."""

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.result_pages.numbers import of, spread
from analysis.result_pages.shipped_runs import ShippedRuns
from lmc_mlflow import plots
from lmc_mlflow.findings.parting import PARTING, Parting, partings
from lmc_mlflow.papers.frankle.claims import FRANKLE_CLAIMS

START = "start_digest"


def parts(runs: ShippedRuns) -> dict[str, pd.DataFrame | str]:
    """Compute the tables and sentences of when.md."""
    mnist, digits = (_random(runs, dataset) for dataset in ("mnist", "digits"))
    return {
        "answer": _answer(mnist, digits),
        "mnist": _by_parting(mnist),
        "digits": _by_parting(digits),
        "pretrained": _by_start(runs.paths),
        "verdicts": runs.verdicts(*(claim.name for claim in FRANKLE_CLAIMS)),
    }


def _random(runs: ShippedRuns, dataset: str) -> pd.DataFrame:
    """Find the paths between sides that started from random weights, at the rate of the grid."""
    paths = runs.paths
    return paths[(_text(paths, START) == "") & (paths["dataset"] == dataset) & (paths["lr"].astype(float) == 0.01)]


def _answer(mnist: pd.DataFrame, digits: pd.DataFrame) -> str:
    told = []
    for paths in (mnist, digits):
        by = {int(k): rows["connected"] == "yes" for k, rows in paths.groupby(paths[PARTING].astype(int))}
        *most, last = (int(yes.sum()) for yes in by.values())
        *epochs, end = by
        told.append(
            f"{', '.join(map(str, most))} and {last} of {len(by[end])} are connected after "
            f"{', '.join(map(str, epochs))} and {end} shared epochs"
        )
    return (
        f"**Early: of pairs under four shifts on MNIST, {told[0]} of eight; on digits, {told[1]} of twenty.** An "
        f"epoch together "
        "is 469 steps on MNIST and 90 on digits; networks that start from a pretrained one are in one basin without "
        "any."
    )


def _text(table: pd.DataFrame, column: str) -> "pd.Series[str]":
    if column not in table:
        return pd.Series("", index=table.index)
    return table[column].fillna("").astype(str)


def _by_parting(paths: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame([row for parting in partings(paths) for row in _rows(parting)])


def _rows(parting: Parting) -> Iterator[dict[str, Any]]:
    """Yield a row for each number of shared epochs of one condition."""
    for k, rows in parting.rows.groupby(PARTING):
        yield {
            "shift": f"`{rows['shift'].iloc[0]}`",
            "shared epochs k": int(str(k)),
            "barrier in the basin (nats)": spread(rows["test/barrier_in_basin"], 3),
            "error barrier (%)": spread(100 * rows["test/error_barrier"], 1),
            "angle (degrees)": f"{rows['angle_deg'].mean():.1f}",
            "connected": _of(rows),
        }


def _by_start(paths: pd.DataFrame) -> pd.DataFrame:
    """Put paths from a pretrained start beside those of the same settings from random ones."""
    started = paths.assign(start=_text(paths, START).ne("").map({True: "MNIST", False: "random"}))
    settings = ["dataset", "model", "lr"]
    named = started.loc[started["start"] == "MNIST", settings].drop_duplicates()
    chosen = started.merge(named, on=settings)
    rows = [
        {
            "shift": f"`{shift}`",
            "start": start,
            "barrier in the basin (nats)": spread(own["test/barrier_in_basin"], 3),
            "error barrier (%)": spread(100 * own["test/error_barrier"], 1),
            "angle (degrees)": f"{own['angle_deg'].mean():.1f}",
            "connected": _of(own),
        }
        for (shift, start), own in chosen.groupby(["shift", "start"], sort=True)
    ]
    return pd.DataFrame(rows)


def _of(rows: pd.DataFrame) -> str:
    return of((rows["connected"] == "yes").sum(), len(rows))


def _figure_of(dataset: str) -> Callable[[ShippedRuns], Figure]:
    return lambda runs: plots.barrier_by_parting(_random(runs, dataset))


FIGURES = {"when_mnist.png": _figure_of("mnist"), "when_digits.png": _figure_of("digits")}
