"""Draws barriers and accuracy deltas beside the printed ones: one row a cell, a point for each policy."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from lmc_mlflow.findings.thresholds import FLAT_BELOW, LOST_BELOW
from lmc_mlflow.plots.missing import PATHS, blank_figure
from lmc_mlflow.plots.over_seeds.barriers.by_model import LOST_LABEL
from lmc_mlflow.plots.style import house_style, rows_of_labels, shared_legend

STYLES: dict[str, dict[str, Any]] = {
    "paper": {"color": "black", "fmt": "D", "markerfacecolor": "white", "markersize": 7},
    "interpolate": {"color": "#1b4f8f", "fmt": "o"},
    "recalibrate": {"color": "#5a9e3a", "fmt": "s"},
    "nearest": {"color": "#c8641a", "fmt": "^"},
    "a": {"color": "#8a3ab9", "fmt": "<"},
    "b": {"color": "#b93a6f", "fmt": ">"},
    "initial": {"color": "#777777", "fmt": "x"},
    "batch": {"color": "#2a9d9d", "fmt": "P"},
    "repair": {"color": "#7a5c2e", "fmt": "v"},
}
"""The printed values and every policy of batch norm, in the order in which a row draws them."""
SETTINGS = ("dataset", "model", "shift", "normalization", "lr", "batch_size", "noise")
PRINTED = {"in_basin": "paper_barrier", "delta": "paper_delta"}
"""What is measured -> what is printed beside it: the paper measures from the local minima of a path (IV-A)."""
TICKS = (0, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
"""Of the axis of barriers, nats: most are far below the largest."""
_HEIGHT = 0.72
"""Share of a row that its points are spread over."""


def beside_paper(table: pd.DataFrame, title: str) -> Figure:
    """Draw barrier and accuracy delta of every cell that has data, with sample deviations, beside the printed ones.

    Args:
        table: one row a cell and policy: columns `SETTINGS`, bn, n; in_basin and delta (percentage points), printed as
            paper_barrier and paper_delta; each of the four with `<name>_sd`. Where a column condition ("21 epochs")
            differs between rows, the rows are named by it too.
        title: over the figure.
    """
    full = f"{title}; bars: sample standard deviation over seeds (one seed has none)"
    rows = table[table["n"] > 0]
    if rows.empty:
        return blank_figure(full, PATHS)
    differing = [name for name in SETTINGS if rows[name].nunique() > 1] or ["model"]
    cells = list(rows.groupby(list(SETTINGS), sort=False))
    several_conditions = "condition" in rows and rows["condition"].nunique() > 1
    labels = [
        " ".join(_word(name, part[name].iloc[0]) for name in differing)
        + (_condition(part.iloc[0]) if several_conditions else "")
        + f" ({_numbers(part)})"
        for _, part in cells
    ]
    drawn = [name for name in STYLES if name == "paper" or (rows["bn"] == name).any()]
    offsets = {name: _HEIGHT * ((place + 0.5) / len(drawn) - 0.5) for place, name in enumerate(drawn)}
    with house_style():
        figure, (left, right) = rows_of_labels(labels, 2, full, width=3.6, points=len(drawn))
        for place, (_, part) in enumerate(cells):
            for panel, value in ((left, "in_basin"), (right, "delta")):
                _point(panel, "paper", place + offsets["paper"], part.iloc[0], PRINTED[value])
                for _, row in part.iterrows():
                    _point(panel, str(row["bn"]), place + offsets[str(row["bn"])], row, value)
        left.axvline(FLAT_BELOW, color="black", linestyle=":", linewidth=1, label=f"no barrier up to {FLAT_BELOW:g}")
        left.set_xscale("symlog", linthresh=FLAT_BELOW)
        highest = max(FLAT_BELOW, float((rows["in_basin"] + rows["in_basin_sd"].fillna(0)).max()))
        highest = max(highest, float((rows["paper_barrier"] + rows["paper_barrier_sd"].fillna(0)).max()))
        left.set_xlim(-FLAT_BELOW / 5, 1.2 * highest)
        left.xaxis.set_major_locator(FixedLocator([tick for tick in TICKS if tick <= 1.2 * highest]))
        left.xaxis.set_minor_locator(NullLocator())
        left.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        left.set_xlabel(f"barrier in basin (nats per sample; linear up to {FLAT_BELOW:g}, then log)")
        right.axvline(LOST_BELOW, color="black", linestyle="--", linewidth=1, label=LOST_LABEL)
        right.set_xlabel("accuracy delta (percentage points)")
        shared_legend(figure, [left, right])
    return figure


def _point(panel: Axes, name: str, place: float, row: "pd.Series[Any]", value: str) -> None:
    deviation = float(row[f"{value}_sd"])
    style = {"markersize": 5, "capsize": 2, "elinewidth": 1.2, **STYLES[name]}
    label = name if name == "paper" else f"bn = {name}"
    panel.errorbar(
        float(row[value]),
        place,
        xerr=deviation if deviation == deviation else None,
        label=label,
        **style,
    )


def _numbers(part: pd.DataFrame) -> str:
    """Write the number of seeds, of each policy where they differ."""
    counts = {str(bn): int(n) for bn, n in zip(part["bn"], part["n"], strict=True)}
    if len(set(counts.values())) == 1:
        return f"n = {next(iter(counts.values()))}"
    return "n = " + ", ".join(f"{n} {bn}" for bn, n in counts.items())


def _condition(row: "pd.Series[Any]") -> str:
    """Write what the cell leaves open, apart from the scaling, which the settings name."""
    return "".join(f", {word}" for word in str(row["condition"]).split(", ") if word != row["normalization"])


def _word(name: str, value: Any) -> str:
    words = {"lr": f"lr {value}", "batch_size": f"B {value}", "noise": "" if value == "same" else f"{value} noise"}
    return words.get(name, str(value)).strip()
