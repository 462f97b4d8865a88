"""Draws error barriers by slope of the activation and by network (Altintas et al., Figs. 1, 2, 3 and 5)."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from lmc_mlflow.findings.families import shape_and_slope
from lmc_mlflow.findings.thresholds import CONNECTED_BELOW_PCT
from lmc_mlflow.models.names import in_natural_order
from lmc_mlflow.plots.groups import Group, groups_of, num_text, over_seeds, readable, titled
from lmc_mlflow.plots.missing import PATHS, blank_figure, rows_with
from lmc_mlflow.plots.numbers import draw_numbers
from lmc_mlflow.plots.over_seeds.barriers.by_model import draw_row_of_paths
from lmc_mlflow.plots.style import grid_of_panels, house_style, rows_of_labels, shared_legend

MEANS = "mean over seeds, bars: sample standard deviation"
TICKS = (0, 0.5, 1, 2, 5, 10, 30, 100)
"""Of an error barrier in percent: linear up to 1, logarithmic above."""
THRESHOLD: dict[str, Any] = {
    "color": "black",
    "linestyle": (0, (1, 1)),
    "linewidth": 1,
    "label": f"connected below {CONNECTED_BELOW_PCT:g} %",
}
"""Style of the line at the error barrier below which two networks are connected."""


def error_barrier_by_slope(paths: pd.DataFrame) -> Figure:
    """Draw the error barrier against the negative slope of leaky ReLUs, a column of panels for each depth (Fig. 1).

    A plain ReLU is slope 0; a linear network of the same widths is slope 1. Conditions with one slope are left out.

    Args:
        paths: from `query.paths`.
    """
    title = f"Error barrier from ReLU (slope 0) to linear (slope 1); {MEANS}, numbers: seeds"
    rows = in_percent(rows_with(paths, ("test/error_barrier", "model")))
    found = [shape_and_slope(str(model)) for model in rows["model"]]
    rows = rows.assign(shape=[one.shape for one in found], slope=[one.slope for one in found])
    rows = rows[rows["shape"] != ""]
    rows = with_several(rows, ("slope", "model"))
    if rows.empty:
        return blank_figure(title, PATHS)
    shapes = in_natural_order(list(rows["shape"]))
    groups, note = readable(groups_of(rows, leave_out=("model",), always=("lr",)))
    with house_style():
        size: dict[str, Any] = {"width": 3.6, "height": 2.8, "sharex": True, "sharey": True}
        figure, axes = grid_of_panels(2, len(shapes), titled(title, rows, note), **size)
        for split, line in zip(("test", "train"), axes, strict=True):
            for shape, panel in zip(shapes, line, strict=True):
                for group in groups:
                    draw_curve(panel, group, group.rows[group.rows["shape"] == shape], "slope", split)
                panel.axhline(CONNECTED_BELOW_PCT, **THRESHOLD)
                panel.set_title(f"{shape}, {split}", fontsize="small")
            line[0].set_ylabel("error barrier (%)")
        places = [panel for line in axes for panel in line]
        _scale(places[0], "y", max(panel.dataLim.y1 for panel in places))
        for panel in axes[-1]:
            panel.set_xlabel("negative slope")
        shared_legend(figure, [panel for line in axes for panel in line])
    return figure


def error_barrier_by_model(paths: pd.DataFrame, normalized: bool = False, by: Sequence[str] | None = None) -> Figure:
    """Draw the error barrier of every path on test and training data, a row for each network and other condition.

    Args:
        paths: from `query.paths`.
        normalized: whether barriers are divided by the ends' mean test accuracy, to compare data sets (Fig. 3).
        by: columns that make a row; None: the model and every other setting in which the paths differ.
    """
    what = "Normalized error barrier" if normalized else "Error barrier"
    title = f"{what} by network; diamond and bar: mean and sample standard deviation"
    ending = "error_barrier_normalized" if normalized else "error_barrier"
    rows = in_percent(rows_with(paths, (f"test/{ending}", "model")), ending)
    if rows.empty:
        return blank_figure(title, PATHS)
    groups = groups_of(rows, by, always=("model",))
    with house_style():
        labels = [f"{group.label} ({num_text(group.rows, 'path')})" for group in groups]
        figure, panels = rows_of_labels(labels, 2, titled(title, rows), width=3.4)
        for split, panel in zip(("test", "train"), panels, strict=True):
            for place, group in enumerate(groups):
                draw_row_of_paths(panel, group, place, split)
            if not normalized:  # the rule is one of error barriers
                panel.axvline(CONNECTED_BELOW_PCT, **THRESHOLD)
            _scale(panel, "x", panel.dataLim.x1)
            panel.set_xlabel(f"{what.lower()}, {split} (%)")
        shared_legend(figure, panels)
    return figure


def _scale(panel: Axes, name: str, highest: float) -> None:
    """Make an axis of error barriers linear up to 1 % and logarithmic above; bars end just below zero, their least."""
    getattr(panel, f"set_{name}scale")("symlog", linthresh=1.0)
    getattr(panel, f"set_{name}lim")(-0.25, max(1.3 * highest, 2.5))
    axis = panel.xaxis if name == "x" else panel.yaxis
    axis.set_major_locator(FixedLocator(TICKS))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def draw_curve(panel: Axes, group: Group, rows: pd.DataFrame, along: str, value: str, aside: float = 1.0) -> None:
    """Draw mean and sample deviation over seeds of a group's rows in a panel.

    Args:
        panel: to draw in.
        group: whose label and style.
        rows: those of its rows that belong in the panel.
        along: column of the horizontal axis.
        value: column of the vertical axis.
        aside: factor on the horizontal axis, so that groups do not cover one another.
    """
    rows = rows.dropna(subset=[value])
    if rows.empty:
        return
    table = pd.concat([over_seeds(part, value, along) for _, part in rows.groupby(along, sort=True)])
    spread = table["deviation"].fillna(0.0) if table["n"].max() > 1 else None
    style: dict[str, Any] = {**group.style, "capsize": 3, "markersize": 4.5, "linewidth": 1.3}
    # n stands at the points: in the label, which names a curve in all panels, it would differ between them
    panel.errorbar(table[along] * aside, table["mean"], yerr=spread, label=group.label or None, **style)
    if group.label:  # a figure with many lines writes n over its panels
        draw_numbers(panel, table[along] * aside, table, group.style["color"])


def with_several(rows: pd.DataFrame, axis: Sequence[str]) -> pd.DataFrame:
    """Select the rows of conditions that were measured at more than one value of an axis.

    Args:
        rows: of paths; the column `shape`, where there is one, makes a condition too.
        axis: its column, and further columns that depend on it.
    """
    by_shape = [part for _, part in rows.groupby("shape")] if "shape" in rows else [rows]
    conditions = [group.rows for part in by_shape if len(part) for group in groups_of(part, leave_out=axis)]
    kept = [part for part in conditions if part[axis[0]].nunique() > 1]
    return pd.concat(kept) if kept else rows.iloc[:0]


def in_percent(rows: pd.DataFrame, ending: str = "error_barrier") -> pd.DataFrame:
    """Add columns test and train (the mean of both sides): error barriers in percent."""
    if rows.empty:
        return rows.assign(test=float("nan"), train=float("nan"))
    sides = [name for name in (f"train_a/{ending}", f"train_b/{ending}") if name in rows]
    train = 100 * rows[sides].mean(axis=1) if sides else float("nan")
    return rows.assign(test=100 * rows[f"test/{ending}"], train=train)
