"""The part of the page connected.md on the scaling of MNIST, which the paper leaves open (X3, X3b)."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from analysis.result_pages.numbers import bounds, either, interval, number, of, spread
from analysis.result_pages.shipped_runs import MIN_SEEDS, ShippedRuns
from lmc_mlflow.findings.thresholds import FLAT_BELOW

MAIN_SCALING, OTHER_SCALING = "centered", "half"
"""Of MNIST."""
MNIST_EPOCHS = 21
DEVIATIONS = 3
"""Printed deviations within which a mean has the printed height (X3b)."""
IN_BASIN, DELTA = "test/barrier_in_basin", "test/accuracy_delta"
MEASURES = [IN_BASIN, DELTA]


class Scaled(NamedTuple):
    """A printed row of MNIST, and by seed our barriers in the basin and deltas under both scalings."""

    row: "pd.Series[Any]"
    main: pd.DataFrame
    other: pd.DataFrame

    def added(self) -> "pd.Series[float]":
        """Subtract the barriers under the main scaling from those under the other, seed by seed."""
        return (self.other[IN_BASIN] - self.main[IN_BASIN]).dropna()


def scaled_rows(runs: ShippedRuns, rows: pd.DataFrame) -> Iterator[Scaled]:
    """Find the printed rows of MNIST at batch size 32 that were run under both scalings (X3b)."""
    paths = runs.paths[(runs.paths["pair"] != "") & (runs.paths["bn"] == "interpolate")]
    paths = paths[paths["epochs"].astype(float) == MNIST_EPOCHS]
    for _, row in rows[(rows["dataset"] == "mnist") & (rows["batch_size"] == 32)].iterrows():
        found = Scaled(row, *(by_seed(paths, row, scaling) for scaling in (MAIN_SCALING, OTHER_SCALING)))
        if len(found.other) >= MIN_SEEDS:
            yield found


def scalings(scaled: Sequence[Scaled]) -> pd.DataFrame:
    """Put both scalings of MNIST beside the printed rows."""
    table = []
    for one in scaled:
        row = one.row
        printed = either(row["paper_barrier"], row["paper_barrier_sd"], 2)
        cells = {"network": f"`{row['model']}`", "rate": f"{row['lr']:g}"}
        cells["printed"] = f"{printed}, {number(row['paper_delta'], 1)}"
        for scaling, means in ((MAIN_SCALING, one.main), (OTHER_SCALING, one.other)):
            barriers, delta = means[IN_BASIN], number(100 * means[DELTA].mean(), 1, "+")
            found = printed_height(barriers, row["paper_barrier"], row["paper_barrier_sd"])
            cells[scaling] = f"{spread(barriers, 2)}, {delta} (n = {len(means)}){': ' * bool(found)}{found}"
        table.append(cells | {f"{OTHER_SCALING} minus {MAIN_SCALING} (nats)": interval(one.added(), 2, "+")})
    return pd.DataFrame(table)


def judge_scalings(scaled: Sequence[Scaled]) -> str:
    """Judge X3 at equal epochs: is the scaling the reason for the printed barriers?"""
    reason = sum(one.other[IN_BASIN].mean() > FLAT_BELOW >= one.main[IN_BASIN].mean() for one in scaled)
    ends = [bounds(one.added()) for one in scaled]
    raised, lowered = sum(low > 0 for low, _, _ in ends), sum(high < 0 for _, _, high in ends)
    return (
        f"By X3 the scaling is the reason where `{OTHER_SCALING}` has the printed conclusion and `{MAIN_SCALING}` has "
        f"not: in {of(reason, len(scaled))} rows. `{OTHER_SCALING}` raises the barrier with its whole interval in "
        f"{of(raised, len(scaled))} and lowers it in {of(lowered, len(scaled))}."
    )


def printed_height(barriers: "pd.Series[float]", printed: float, deviation: float) -> str:
    """Say by the rule of X3b how barriers in the basin (nats) stand to a printed one, which is above 0.1."""
    mean = barriers.mean()
    if abs(mean - printed) <= DEVIATIONS * deviation:
        return "printed height" if mean > FLAT_BELOW else "within three deviations"
    return "printed conclusion" if mean > FLAT_BELOW else ""


def by_seed(paths: pd.DataFrame, row: "pd.Series[Any]", scaling: str) -> pd.DataFrame:
    """Average the paths of each seed that were trained as a row of the tables says, under a scaling."""
    own = paths[paths["normalization"] == scaling]
    for name in ("dataset", "model", "shift", "noise"):
        own = own[own[name] == row[name]]
    for name in ("batch_size", "lr"):
        own = own[own[name].astype(float) == float(row[name])]
    return own.groupby("seed")[MEASURES].mean()
