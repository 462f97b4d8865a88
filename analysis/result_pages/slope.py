"""The page slope.md: error barriers of MLPs with leaky ReLUs, from ReLU to linear (Altintas et al., Fig. 1)."""

import functools

import pandas as pd
from matplotlib.figure import Figure

from analysis.result_pages.numbers import holds_from, joined, number, of, spread
from analysis.result_pages.shipped_runs import ShippedRuns
from lmc_mlflow import plots, query
from lmc_mlflow.findings.families import shape_and_slope
from lmc_mlflow.findings.thresholds import CONNECTED_BELOW_PCT

TRAINING = {"dataset": "mnist", "optimizer": "sgd", "schedule": "constant", "init": "same", "shift": "none"}
HIGH, LOW = 0.1, 0.01
"""The paper's two rates of SGD."""
NUMBERS = {"momentum": 0.9, "weight_decay": 0.0, "batch_size": 1024.0, "epochs": 20.0}
"""Settings of the networks that are compared, by name."""
WIDTH = "128"
ERROR, LOSS = "test/error_barrier", "train/loss"


def parts(runs: ShippedRuns) -> dict[str, pd.DataFrame | str]:
    """Compute the tables and sentences of slope.md."""
    paths = _paths(runs, HIGH)
    return {
        "answer": _answer(paths),
        "slopes": _slopes(paths, _failed(runs, HIGH)),
        "reading": _reading(paths),
        "low_rate": _slopes(_paths(runs, LOW), _failed(runs, LOW)),
        "verdicts": runs.verdicts("D-06a", "D-06b"),
    }


def _paths(runs: ShippedRuns, lr: float) -> pd.DataFrame:
    """Find the paths of MLPs of one width and of linear networks that were trained at a rate."""
    paths = _chosen(runs.frames.paths, lr)
    losses = runs.frames.pairs.set_index("run_id")[LOSS]
    return paths.assign(loss=paths["pair"].map(losses))


def _failed(runs: ShippedRuns, lr: float) -> "pd.Series[int]":
    """Count the pairs whose training ended in NaN, by slope and layers."""
    pairs = _chosen(runs.table(functools.partial(query.pairs, finished=False)), lr)
    failed: pd.Series[int] = pairs[pairs["status"] == "FAILED"].groupby(["slope", "layers"]).size()
    return failed


def _chosen(paths: pd.DataFrame, lr: float) -> pd.DataFrame:
    """Select the rows of the page's training and width at a rate; `layers` counts the output layer too."""
    for name, setting in TRAINING.items():
        paths = paths[paths[name] == setting]
    for name, value in {**NUMBERS, "lr": lr}.items():
        paths = paths[paths[name].astype(float) == value]
    found = [shape_and_slope(str(model)) for model in paths["model"]]
    paths = paths.assign(shape=[one.shape for one in found], slope=[one.slope for one in found])
    paths = paths.assign(layers=[one.depth + 1 for one in found])
    return paths[paths["shape"].str.endswith(WIDTH)]


def _answer(paths: pd.DataFrame) -> str:
    """Say from which slope on two networks of each depth are connected (Y7)."""
    told, firsts = [], []
    seeds = paths.groupby(["layers", "slope"])["seed"].nunique()
    for layers, own in paths.groupby("layers"):
        means = 100 * own.groupby(["slope", "seed"])[ERROR].mean().groupby("slope").mean()
        first = connected_from(means)
        firsts.append(first)
        ends = [number(means[end], 1) for end in (means.index.min(), means.index.max())]
        where = "at no slope" if first is None else f"from the slope {first:g} on"
        told.append(f"with {layers} layers {where} ({ends[0]} % with ReLUs, {ends[1]} % linear)")
    return (
        "**Two copies of an MLP that saw the same images in other orders, trained by SGD at 0.1, are connected, by "
        f"means of {seeds.min()} to {seeds.max()} pairs, {'; '.join(told)}.** Slope 0 is a ReLU, slope 1 is linear; "
        f"connected means an error barrier below "
        f"{CONNECTED_BELOW_PCT:g} %. "
        f"{judge_depth(firsts)}"
    )


def _reading(paths: pd.DataFrame) -> str:
    """Name the means that few of their pairs make: above what counts as connected, though most pairs are below."""
    told = []
    for (layers, slope), own in paths.groupby(["layers", "slope"]):
        errors = 100 * own.groupby("seed")[ERROR].mean()
        broken = int((errors >= CONNECTED_BELOW_PCT).sum())
        if errors.mean() >= CONNECTED_BELOW_PCT and 2 * broken < len(errors):
            told.append(f"{of(broken, len(errors))} pairs of {layers} layers at {slope:g}")
    if not told:
        return "Where a mean is above what counts as connected, most of its pairs are."
    return f"The answer goes by means, some of which few pairs make: {joined(told)} are broken, the others connected."


def connected_from(means: "pd.Series[float]") -> float | None:
    """Find the least slope at which, and at all larger ones, the mean error barrier (%) is below that of connection.

    Args:
        means: by slope, in rising order.
    """
    return holds_from(means < CONNECTED_BELOW_PCT)


def judge_depth(firsts: list[float | None]) -> str:
    """Judge Y7: do deeper networks need to be more nearly linear?

    Args:
        firsts: the slope from which on networks are connected, from the fewest layers to the most; None: nowhere.
    """
    fewest, most = firsts[0], firsts[-1]
    if most is None or (fewest is not None and most > fewest):
        return "By this rule (Y7) the deepest networks have to be more nearly linear than the shallowest."
    return "By this rule (Y7) the deepest networks need not be more nearly linear than the shallowest."


def _slopes(paths: pd.DataFrame, failed: "pd.Series[int]") -> pd.DataFrame:
    rows = []
    for slope, at_slope in paths.groupby("slope"):
        row = {"slope": f"{slope:g}"}
        for layers in sorted(paths["layers"].unique()):
            own = at_slope[at_slope["layers"] == layers]
            errors = 100 * own.groupby("seed")[ERROR].mean()
            lost = failed.get((slope, layers), 0)
            ended = f"; {lost} ended in NaN" if lost else ""
            row[f"{layers} layers: error barrier, test (%)"] = f"{spread(errors, 2)} (n = {len(errors)}{ended})"
            row[f"{layers} layers: training loss (nats)"] = number(own["loss"].mean(), 3)
        rows.append(row)
    return pd.DataFrame(rows)


def _figure(runs: ShippedRuns) -> Figure:
    return plots.error_barrier_by_slope(_paths(runs, HIGH))


FIGURES = {"results_slope.png": _figure}
