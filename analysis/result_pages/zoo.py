"""The page zoo.md: the networks of the slides on permutations."""

import pandas as pd
from matplotlib.figure import Figure

from analysis.result_pages.numbers import either, holds_from, number, of
from analysis.result_pages.shipped_runs import NAMES, ShippedRuns
from lmc_mlflow import plots, query
from lmc_mlflow.plots.style import house_style, panels, shared_legend

MOST = 0.9
"""Share of pairs from which on a width counts as connected in the answer."""
ALIGNED = {"none": "not aligned", "weights": "aligned"}


def parts(runs: ShippedRuns) -> dict[str, pd.DataFrame | str]:
    """Compute the tables and sentences of zoo.md."""
    table, matrices = runs.content.tables["model_zoo"], _in_order(runs.table(query.matrices))
    return {
        "answer": f"{_answer(table)} {_aligned(matrices)}",
        "model_zoo": _beside(table),
        "reduced": _reduced(runs.content.tables["reduced_zoo"]),
        "matrices": _matrices(matrices),
        "verdicts": runs.verdicts("P-05", "P-06"),
    }


def _answer(table: pd.DataFrame) -> str:
    told = []
    for dataset in ("moons", "mnist"):
        own = table[(table["dataset"] == dataset) & (table["networks"] > 0) & (table["measure"] == "test accuracy")]
        narrow, wide = own.loc[own["width"].idxmin()], own.loc[own["width"].idxmax()]
        told.append(
            f"{NAMES[dataset]} test accuracy rises from {either(narrow['mean'], narrow['sd'], 3)} at width "
            f"{int(narrow['width'])} to "
            f"{either(wide['mean'], wide['sd'], 3)} at width {int(wide['width'])} (printed "
            f"{narrow['printed_mean']:g} and {wide['printed_mean']:g})"
        )
    known = table[table["networks"] > 0]
    return (
        f"**With width yes, until it saturates; the slides' numbers mostly not: on "
        f"{' and on '.join(told)}.** "
        f"Of the printed values {of((known['mark'] == 'agrees').sum(), len(known))} agree (the difference is at most "
        "twice its standard error)."
    )


def _aligned(matrices: pd.DataFrame) -> str:
    told = []
    for dataset, own in matrices.groupby("dataset", sort=False):
        plain, aligned = (own[own["align"] == align].set_index("width")["share_connected"] for align in ALIGNED)
        wide = holds_from(aligned >= MOST)
        if wide is None:
            told.append(f"on {NAMES[str(dataset)]} at no width")
            continue
        before = [number(100 * end, 0) for end in (plain[plain.index >= wide].min(), plain[plain.index >= wide].max())]
        told.append(f"on {NAMES[str(dataset)]} from width {wide:g} on (as they are: {' to '.join(before)} %)")
    return (
        f"At least {number(100 * MOST, 0)} % of the pairs of one width are connected once their units are aligned "
        f"{' and '.join(told)}."
    )


def _in_order(matrices: pd.DataFrame) -> pd.DataFrame:
    """Name the width of each matrix; moons first, narrow networks first."""
    widths = matrices["model"].str.extract(r"_w(\d+)$", expand=False).astype(int)
    return matrices.assign(width=widths).sort_values(["dataset", "width"], ascending=[False, True])


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


def _reduced(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for width, part in table[table["networks"] > 0].groupby("width_before", sort=True):
        row = {"width": width, "networks": part["networks"].iloc[0]}
        for measure, head in (("width", "units left"), ("test loss", "test loss"), ("test accuracy", "test accuracy")):
            one, decimals = part[part["measure"] == measure].iloc[0], 1 if measure == "width" else 3
            row |= {head: either(one["mean"], one["sd"], decimals)}
            row |= {f"printed, {head}": either(one["printed_mean"], one["printed_sd"], decimals)}
        rows.append(row)
    return pd.DataFrame(rows)


def _matrices(matrices: pd.DataFrame) -> pd.DataFrame:
    """Compare the barriers between every two networks of a width, as they are and aligned."""
    rows = []
    for (dataset, width), own in matrices.groupby(["dataset", "width"], sort=False):
        row: dict[str, object] = {"data set": NAMES[str(dataset)], "width": width}
        for align, head in ALIGNED.items():
            one = own[own["align"] == align].iloc[0]
            row["pairs"] = int(one["num_pairs"])
            row[f"mean barrier, {head} (nats)"] = number(one["mean/barrier_over_chord"], 3)
            row[f"largest of a pair, {head} (nats)"] = number(one["max_barrier"], 3)
            row[f"connected, {head} (%)"] = number(100 * one["share_connected"], 0)
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


def _barriers(runs: ShippedRuns) -> Figure:
    return plots.barriers_of_zoo(query.matrix_pairs(runs.table(query.matrices)))


FIGURES = {"results_zoo.png": _figure, "results_zoo_barriers.png": _barriers}
