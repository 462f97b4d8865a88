"""The page harder_data.md: normalized error barriers of the same networks on MNIST and CIFAR-10."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.result_pages.numbers import bounds, interval, number, of, spread
from analysis.result_pages.shipped_runs import NAMES, ShippedRuns
from lmc_mlflow import plots

BOTH = EASY, HARD = ("mnist", "imagefolder")
ERROR, NORMALIZED = "test/error_barrier", "test/error_barrier_normalized"
LOSS = "train/loss"
SETTINGS = ["optimizer", "lr", "model"]
OPTIMIZERS = {"adam": "Adam", "sgd": "SGD"}


def parts(runs: ShippedRuns) -> dict[str, pd.DataFrame | str]:
    """Compute the tables and sentences of harder_data.md."""
    paths = _paths(runs)
    compared = [_compared(*keys, rows) for keys, rows in paths.groupby(SETTINGS, sort=True)]
    return {"answer": _answer(compared), "networks": _networks(compared), "verdicts": runs.verdicts("D-16", "D-20")}


def _paths(runs: ShippedRuns) -> pd.DataFrame:
    """Find the paths of networks that were trained on both data sets without augmentation, for as many epochs."""
    paths = runs.paths[(runs.paths["augmentation"] == "none") & runs.paths["dataset"].isin(BOTH)]
    paths = paths.assign(**{LOSS: paths["pair"].map(runs.frames.pairs.set_index("run_id")[LOSS])})
    return paths.groupby([*SETTINGS, "epochs", "batch_size"]).filter(lambda rows: rows["dataset"].nunique() == 2)


def _compared(optimizer: str, rate: float, model: str, rows: pd.DataFrame) -> dict[str, Any]:
    measures = {LOSS: 1, ERROR: 100, NORMALIZED: 100}
    by_seed = (rows[rows["dataset"] == name].groupby("seed")[[*measures]].mean() for name in BOTH)
    easy, hard = (seeds * pd.Series(measures) for seeds in by_seed)
    more = (hard[NORMALIZED] - easy[NORMALIZED]).dropna()
    return {"optimizer": optimizer, "rate": rate, "model": model, "easy": easy, "hard": hard, "more": more}


def _answer(compared: list[dict[str, Any]]) -> str:
    told = []
    for optimizer, name in OPTIMIZERS.items():
        ones = [one for one in compared if one["optimizer"] == optimizer]
        low, high = ([bounds(one["more"])[end] for one in ones] for end in (0, 2))
        most = max(ones, key=lambda one: abs(one["more"].mean()))
        higher, lower = sum(end > 0 for end in low), sum(end < 0 for end in high)
        told.append(
            f"under {name} at {most['rate']:g} in {of(higher, len(ones))} MLPs ({lower} lower, "
            f"{len(ones) - higher - lower} undecided; the largest difference: {interval(most['more'], 1, '+')} points, "
            f"`{most['model']}`)"
        )
    return f"**The normalized error barrier is higher on CIFAR-10 than on MNIST {' and '.join(told)}.**"


def _networks(compared: list[dict[str, Any]]) -> pd.DataFrame:
    rows = []
    for one in compared:
        row = {"optimizer": OPTIMIZERS[one["optimizer"]], "rate": one["rate"], "network": f"`{one['model']}`"}
        for name, own in ((EASY, one["easy"]), (HARD, one["hard"])):
            row[f"training loss, {NAMES[name]} (nats)"] = number(own[LOSS].mean(), 2)
            row[f"error barrier, {NAMES[name]} (%)"] = spread(own[ERROR], 2)
            row[f"normalized, {NAMES[name]} (%)"] = spread(own[NORMALIZED], 2)
        row |= {"n": len(one["more"]), "more on CIFAR-10 (points)": interval(one["more"], 2, "+")}
        rows.append(row)
    return pd.DataFrame(rows)


def _figure(runs: ShippedRuns) -> Figure:
    paths = _paths(runs)
    settings = ("dataset", "model", "optimizer")
    return plots.error_barrier_by_model(paths.assign(dataset=paths["dataset"].map(NAMES)), normalized=True, by=settings)


FIGURES = {"results_harder_data.png": _figure}
