"""The page batch_norm.md: ResNets under label imbalance, with every way to treat the statistics of batch norm."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.result_pages.numbers import either, interval, joined, number
from analysis.result_pages.shipped_runs import MIN_SEEDS, ShippedRuns
from analysis.result_pages.single_pairs import (
    RESNET22,
    VGG11,
    answer_on_vgg11,
    policies_of,
    reading_of_resnet22,
    reading_of_vgg11,
)
from lmc_mlflow import plots
from lmc_mlflow.findings.thresholds import FLAT_BELOW
from lmc_mlflow.papers.printed import cells
from lmc_mlflow.plots.over_seeds.beside_paper import SETTINGS, STYLES

POLICIES = {
    "interpolate": "interpolated, as the weights are",
    "recalibrate": "of the images of both sides, at each point",
    "nearest": "of the nearer end",
    "a": "of A everywhere",
    "b": "of B everywhere",
    "initial": "of no image: mean 0, variance 1",
    "batch": "of each batch, as in training",
}
"""Policy of `bn` -> which statistics the points of a path have."""
MODEL, EPOCHS, LONGER, BATCH_SIZE = "resnet10_s222", 10, 40, 1024
DEVIATIONS, ROUNDING = 3, 0.005
"""A policy fits a printed barrier within this many printed deviations, and half a unit of its last digit (E2b)."""
FIT = "fits at 20/80"
"""Head of the count of rows that fit: beside printed barriers near 0 nearly every policy fits."""
ROW_BY = ["shift", "lr", "noise"]


def parts(runs: ShippedRuns) -> dict[str, pd.DataFrame | str]:
    """Compute the tables and sentences of batch_norm.md."""
    printed, measured = _printed(), _measured(runs)
    return {
        "answer": f"{_answer(printed, measured)} {answer_on_vgg11(runs)}",
        "policies": pd.DataFrame(_policies(printed, measured)),
        "in_basin": pd.DataFrame(_in_basin(printed, measured)),
        "reading": _reading(runs, printed, measured),
        "vgg": policies_of(runs, VGG11),
        "vgg_reading": reading_of_vgg11(runs),
        "resnet22": policies_of(runs, RESNET22),
        "resnet22_reading": reading_of_resnet22(runs),
        "verdicts": runs.verdicts("H-02b"),
    }


def _printed() -> pd.DataFrame:
    """Select the rows of Table VII with ResNet10 on MNIST, rate by rate."""
    table = cells("table_vii")
    table = table[(table["dataset"] == "mnist") & (table["model"] == "resnet10")]
    return table.sort_values(["lr", "shift"], ascending=[False, False], ignore_index=True)


def _measured(runs: ShippedRuns, num_epochs: int = EPOCHS) -> pd.DataFrame:
    """Select our paths of this table after so many epochs, the newest of each seed and policy."""
    paths = runs.paths
    chosen = (paths["model"] == MODEL) & (paths["dataset"] == "mnist") & (paths["pair"] != "")
    for name, value in (("epochs", num_epochs), ("batch_size", BATCH_SIZE)):
        chosen &= paths[name].astype(float) == value
    paths = paths[chosen].sort_values("start_time")
    paths["lr"] = paths["lr"].astype(float)
    return paths.drop_duplicates([*ROW_BY, "seed", "bn"], keep="last")


def _of(measured: pd.DataFrame, row: "pd.Series[Any]", policy: str) -> pd.DataFrame:
    chosen = measured["bn"] == policy
    for name in ROW_BY:
        chosen &= measured[name] == row[name]
    return measured[chosen]


def fits_printed(barriers: "pd.Series[float]", row: "pd.Series[Any]") -> bool:
    """Tell whether the mean of our barriers fits a printed one, by the rule of E2b."""
    far = abs(barriers.mean() - row["barrier"])
    return bool(far <= DEVIATIONS * row["barrier_sd"] + ROUNDING)


def _head(row: "pd.Series[Any]") -> str:
    labels = "50/50" if row["shift"] == "label_5050" else "20/80"
    return f"{labels}, rate {row['lr']:g}"


def _answer(printed: pd.DataFrame, measured: pd.DataFrame) -> str:
    told = []
    for shift, name in (("label_2080", "20/80 labels"), ("label_5050", "50/50 halves")):
        row = printed[(printed["shift"] == shift) & (printed["lr"] == 0.001)].iloc[0]
        own = _of(measured, row, "interpolate")["test/barrier"]
        if len(own) >= MIN_SEEDS:
            told.append(f"{interval(own, 3)} nats under {name} (n = {len(own)})")
        if shift == "label_2080":
            theirs, nearest = row["barrier"], interval(_of(measured, row, "nearest")["test/barrier"], 2)
    low = printed[(printed["shift"] == "label_2080") & (printed["lr"] == 0.0001)].iloc[0]
    plain = _of(measured, low, "interpolate")["test/barrier"]
    return (
        f"**Not at the rate 0.001: with interpolated statistics the barrier (eq. 1) of ResNet10 (`{MODEL}`, {EPOCHS} "
        f"epochs) on MNIST is {' and '.join(told)}; the paper prints {theirs:g} under 20/80 labels.** With the "
        f"statistics of the nearer end it is {nearest} nats there. At the rate 0.0001 it is {plain.mean():.3f} nats "
        f"with interpolated ones (n = {len(plain)}; a barrier is above {FLAT_BELOW:g}; printed {low['barrier']:g}). "
        f"{_policies_told(printed, measured)}"
    )


def _policies_told(printed: pd.DataFrame, measured: pd.DataFrame) -> str:
    """Say which policies fit all printed rows, or else those at 20/80."""
    whole, imbalanced = [], []
    for policy in POLICIES:
        found = {n: own for n, row in printed.iterrows() if len(own := _of(measured, row, policy))}
        fits = {n: fits_printed(own["test/barrier"], printed.loc[n]) for n, own in found.items()}
        if len(fits) == len(printed) and all(fits.values()):
            whole.append(f"`{policy}`")
        for n in [n for n, fit in fits.items() if fit and printed.loc[n, "shift"] == "label_2080"]:
            told = f"`{policy}` fits the one at the rate {printed.loc[n, 'lr']:g}"
            if not fits_printed(found[n]["test/barrier_in_basin"], printed.loc[n]):
                delta = 100 * found[n]["test/accuracy_delta"].mean()
                told += f" by eq. 1 alone (from the local minima {found[n]['test/barrier_in_basin'].mean():.2f} nats, "
                told += f"accuracy delta {delta:+.1f} points, printed {printed.loc[n, 'delta']:+.1f})"
            imbalanced.append(told)
    count = f"all {len(printed)} printed rows of ResNet10 on MNIST"
    if whole:
        return f"The policies {joined(whole)} fit {count}."
    rows = joined(imbalanced) or "none fits any"
    return f"Of {len(POLICIES)} policies (one to five seeds a row) none fits {count}; of the two at 20/80, {rows}."


def _reading(runs: ShippedRuns, printed: pd.DataFrame, measured: pd.DataFrame) -> str:
    """Say what one end's statistics do to the control, and what more epochs do at the lower rate."""
    control = printed[(printed["shift"] == "label_5050") & (printed["lr"] == 0.001)].iloc[0]
    imbalanced = printed[(printed["shift"] == "label_2080") & (printed["lr"] == 0.0001)].iloc[0]
    pairs = len(_of(measured, control, "a"))
    ends = [_of(measured, control, bn) for bn in ("a", "b")]
    one_end = [f"{own['test/barrier'].mean():.2f}" for own in ends]
    basins = [f"{own['test/barrier_in_basin'].mean():.2f}" for own in ends]
    deltas = [f"{100 * own['test/accuracy_delta'].mean():+.1f}" for own in ends]
    short, long = (_of(_measured(runs, epochs), imbalanced, "nearest") for epochs in (EPOCHS, LONGER))
    accuracy = runs.endpoints.set_index("pair")["train/accuracy"]
    reached = [100 * accuracy[own["pair"]].mean() for own in (short, long)]
    low, high = (imbalanced["barrier"] + sign * (DEVIATIONS * imbalanced["barrier_sd"] + ROUNDING) for sign in (-1, 1))
    brief, lasting = (own["test/barrier"].mean() for own in (short, long))
    plain = _of(measured, imbalanced, "interpolate")["test/barrier"]
    return (
        f"At the rate 0.001 the statistics of one end everywhere, as left by code that interpolates only parameters, "
        f"spoil an end under 50/50 halves too: eq. 1 has {one_end[0]} and {one_end[1]} nats (printed "
        f"{control['barrier']:g}); from the local minima it is {basins[0]} and {basins[1]}, with accuracy deltas of "
        f"{deltas[0]} and {deltas[1]} points (printed {control['delta']:+.1f}). As far as {pairs} pairs tell, such "
        f"code did not print this table from networks like these. At the rate 0.0001 `interpolate` has "
        f"{plain.mean():.3f} nats under 20/80 (n = {len(plain)}; a "
        f"barrier is above {FLAT_BELOW:g}), of which a path with statistics of its own keeps at most "
        f"{_most(printed, measured):.3f}, there and in every other row (`recalibrate`, `batch`). `nearest` is low at "
        f"that rate, also after {LONGER} epochs instead of {EPOCHS}: {lasting:.2f} instead of {brief:.2f} nats, "
        f"training accuracy {reached[1]:.1f} instead of {reached[0]:.1f} % (one pair; {low:.3f} to {high:.3f} would "
        f"fit). By [E2c](../experiments.md) that is {judge_length(brief, lasting, low, high)}. "
        f"{_again(runs, lasting - brief)}"
    )


def judge_length(brief: float, lasting: float, low: float, high: float) -> str:
    """Judge E2c: may the length of training be the reason why `nearest` is too low?

    Args:
        brief: barrier after few epochs, nats.
        lasting: after many.
        low: least barrier that fits the printed one.
        high: largest.
    """
    if low <= lasting <= high:
        return "a sign that the length of training may be the reason"
    if lasting < low and lasting <= brief:
        return "no matter of the length of training"
    return f"undecided: it is {'below' if lasting < low else 'above'} the range and has grown"


def _most(printed: pd.DataFrame, measured: pd.DataFrame) -> float:
    """Find the highest mean barrier of a row under statistics that belong to the weights of each point."""
    found = [_of(measured, row, bn)["test/barrier"] for _, row in printed.iterrows() for bn in ("recalibrate", "batch")]
    return max(own.mean() for own in found if len(own))


def _again(runs: ShippedRuns, growth: float) -> str:
    """Say what training a pair a second time, on another processor, changes, and whether a growth is more than that."""
    paths = runs.paths
    chosen = (paths["model"] == MODEL) & (paths["seed"] == 1) & (paths["shift"] == "label_2080")
    chosen &= (paths["lr"].astype(float) == 0.001) & (paths["epochs"].astype(int) == EPOCHS)
    own = paths[chosen].sort_values("start_time").groupby("bn")["test/barrier"]
    first, last = own.first(), own.last()
    differ = abs(first["nearest"] - last["nearest"])
    return (
        f"Seed 1 of 20/80 at the rate 0.001 was trained twice, on two processors, whose sums round differently: its "
        f"barrier is {first['nearest']:.2f} and {last['nearest']:.2f} nats under `nearest`, "
        f"{first['interpolate']:.3f} and {last['interpolate']:.3f} under `interpolate` (this page has the second, the "
        f"report the mean)."
        + (f" A growth by {growth:.2f} nats is less than that, and says nothing." if growth < differ else "")
    )


def _policies(printed: pd.DataFrame, measured: pd.DataFrame) -> list[dict[str, Any]]:
    """Make one row for the paper and one for each policy, a column for each printed row."""
    heads = {_head(row): _fitting(row) for _, row in printed.iterrows()}
    rows: list[dict[str, Any]] = [{"`bn`": "", "statistics": "*printed*", **heads, FIT: ""}]
    for policy, meaning in POLICIES.items():
        row: dict[str, Any] = {"`bn`": f"`{policy}`", "statistics": meaning}
        fits = []
        for _, theirs in printed.iterrows():
            own = _of(measured, theirs, policy)
            if len(own):
                fit = fits_printed(own["test/barrier"], theirs)
                fits += [fit] if theirs["shift"] == "label_2080" else []
                value = either(own["test/barrier"].mean(), own["test/barrier"].std(ddof=1), 3)
                row[_head(theirs)] = f"{value} (n = {len(own)}{', fits' if fit else ''})"
            else:
                row[_head(theirs)] = ""
        rows.append(row | {FIT: f"{sum(fits)} of {len(fits)}"})
    return rows


def _fitting(row: "pd.Series[Any]") -> str:
    """Write a printed barrier, and between which ones a mean fits it."""
    low, high = (row["barrier"] + sign * (DEVIATIONS * row["barrier_sd"] + ROUNDING) for sign in (-1, 1))
    return f"{either(row['barrier'], row['barrier_sd'], 2)} (fits: {number(max(low, 0), 3)} to {number(high, 3)})"


def _in_basin(printed: pd.DataFrame, measured: pd.DataFrame) -> list[dict[str, Any]]:
    """Make one row for the paper and one for each policy: barriers in the basin, and accuracy deltas in points."""
    heads = {_head(row): f"{row['barrier']:.2f}, {number(row['delta'], 1, '+')}" for _, row in printed.iterrows()}
    rows: list[dict[str, Any]] = [{"`bn`": "*printed*", **heads}]
    for policy in POLICIES:
        row: dict[str, Any] = {"`bn`": f"`{policy}`"}
        for _, theirs in printed.iterrows():
            own = _of(measured, theirs, policy)
            basin, delta = own["test/barrier_in_basin"].mean(), 100 * own["test/accuracy_delta"].mean()
            row[_head(theirs)] = f"{number(basin, 2)}, {number(delta, 1, '+')}" if len(own) else ""
        rows.append(row)
    return rows


def _figure(runs: ShippedRuns) -> Figure:
    """Draw every policy beside the printed values."""
    printed, measured = _printed(), _measured(runs)
    rows = []
    for _, theirs in printed.iterrows():
        for policy in STYLES:
            own = _of(measured, theirs, policy)
            if own.empty:
                continue
            basin, delta = own["test/barrier_in_basin"], 100 * own["test/accuracy_delta"]
            row = {name: theirs[name] for name in SETTINGS}
            row |= {"bn": policy, "n": len(own), "in_basin": basin.mean(), "in_basin_sd": basin.std(ddof=1)}
            row |= {"delta": delta.mean(), "delta_sd": delta.std(ddof=1)}
            row |= {"paper_barrier": theirs["barrier"], "paper_barrier_sd": theirs["barrier_sd"]}
            rows.append(row | {"paper_delta": theirs["delta"], "paper_delta_sd": theirs["delta_sd"]})
    return plots.beside_paper(pd.DataFrame(rows), "ResNet10 on MNIST, 10 epochs, seven policies of batch norm")


FIGURES = {"results_batch_norm.png": _figure}
