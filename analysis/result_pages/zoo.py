"""The page zoo.md: the networks of the slides on permutations."""

import pandas as pd
from matplotlib.figure import Figure

from analysis.result_pages.numbers import either, of
from analysis.result_pages.shipped_runs import NAMES, ShippedRuns
from lmc_mlflow.plots.style import house_style, panels, shared_legend


def parts(runs: ShippedRuns) -> dict[str, pd.DataFrame | str]:
    """Compute the tables and sentences of zoo.md."""
    table = runs.content.tables["model_zoo"]
    return {
        "answer": _answer(table),
        "model_zoo": _beside(table),
        "verdicts": runs.verdicts("P-05", "P-06"),
    }


def _answer(table: pd.DataFrame) -> str:
    told = []
    for dataset in ("moons", "mnist"):
        own = table[(table["dataset"] == dataset) & (table["networks"] > 0) & (table["measure"] == "test accuracy")]
        narrow, wide = own.loc[own["width"].idxmin()], own.loc[own["width"].idxmax()]
        told.append(
            f"{NAMES[dataset]} from {either(narrow['mean'], narrow['sd'], 3)} at width {int(narrow['width'])} to "
            f"{either(wide['mean'], wide['sd'], 3)} at width {int(wide['width'])} (printed "
            f"{narrow['printed_mean']:g} and {wide['printed_mean']:g})"
        )
    known = table[table["networks"] > 0]
    return (
        f"**With width yes, until it saturates; the slides' numbers mostly not: test accuracy goes on "
        f"{' and on '.join(told)}.** "
        f"Of the printed values {of((known['mark'] == 'agrees').sum(), len(known))} agree within their deviations: "
        f"the slides do not give the noise of the moons, nor the rate on MNIST."
    )


def _beside(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (dataset, width), part in table[table["networks"] > 0].groupby(["dataset", "width"], sort=False):
        row = {"data set": NAMES[str(dataset)], "width": width, "networks": part["networks"].iloc[0]}
        for measure in ("test loss", "test accuracy"):
            one = part[part["measure"] == measure].iloc[0]
            row |= {measure: either(one["mean"], one["sd"], 3)}
            row |= {f"printed, {measure.split()[1]}": either(one["printed_mean"], one["printed_sd"], 3)}
        row["epochs"] = str(part["condition"].iloc[0]).split(" epochs")[0]
        rows.append(row)
    return pd.DataFrame(rows)


def _figure(runs: ShippedRuns) -> Figure:
    """Draw test accuracy by width beside the printed values."""
    table = runs.content.tables["model_zoo"]
    rows = table[(table["networks"] > 0) & (table["measure"] == "test accuracy")]
    with house_style():
        figure, axes = panels(
            2, "Test accuracy by width; mean over networks, bars: sample standard deviation", sharey=True
        )
        for panel, dataset in zip(axes, ("moons", "mnist"), strict=True):
            own = rows[rows["dataset"] == dataset]
            printed = {"fmt": "D", "color": "black", "markerfacecolor": "white", "label": "slides"}
            panel.errorbar(own["width"] * 1.04, own["printed_mean"], own["printed_sd"], capsize=2, **printed)
            panel.errorbar(own["width"] / 1.04, own["mean"], own["sd"], fmt="o", capsize=2, label="here")
            panel.set_xscale("log", base=2)
            panel.set(title=NAMES[dataset], xlabel="width of the hidden layer (log scale)")
        axes[0].set_ylabel("test accuracy (fraction)")
        shared_legend(figure, axes[:1])
    return figure


FIGURES = {"results_zoo.png": _figure}
