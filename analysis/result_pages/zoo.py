"""The page zoo.md: the networks of the slides on permutations."""

import pandas as pd
from matplotlib.figure import Figure

from analysis.result_pages.numbers import either, of
from analysis.result_pages.shipped_runs import NAMES, ShippedRuns
from lmc_mlflow import plots


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
            f"{narrow['printed_mean']:g} and "
            f"{wide['printed_mean']:g})"
        )
    known = table[table["networks"] > 0]
    return (
        f"**Yes: test accuracy grows with width, on {' and on '.join(told)}.** Of the printed values "
        f"{of((known['mark'] == 'agrees').sum(), len(known))} agree within their deviations: the slides do not give "
        f"the noise "
        "of the moons, nor the rate on MNIST."
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
    paths = runs.frames.paths
    return plots.error_barrier_by_model(
        paths[(paths["init"] == "different") & paths["model"].str.startswith("mlp_l1_w")]
    )


FIGURES = {"results_zoo.png": _figure}
