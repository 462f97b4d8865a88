"""Draws barriers and paths between many networks of several widths, not aligned and aligned."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.findings.families import is_minimal
from lmc_mlflow.models.families import facts_of
from lmc_mlflow.models.names import in_natural_order
from lmc_mlflow.plots.groups import titled
from lmc_mlflow.plots.missing import MATRICES, blank_figure, rows_with
from lmc_mlflow.plots.style import grid_of_panels, group_style, house_style, panels, shared_legend

KEY = ["run_id", "run_a", "run_b"]
MOST_LINES = 200
"""Segments that are drawn one by one; more are drawn every second, third, ... one."""


def barriers_of_zoo(pairs: pd.DataFrame, barrier: str = "barrier_over_chord") -> Figure:
    """Draw box plots of the barrier by network and alignment, every outlier shown: a panel for each data set.

    Pairs with a network that is no better than predicting the largest class are left out, and counted in the title.

    Args:
        pairs: from `query.matrix_pairs`.
        barrier: the column that is drawn.
    """
    title = f"{barrier.replace('_', ' ').capitalize()} between every two networks; all outliers shown"
    unit = "" if barrier == "error_barrier" else " (nats)"
    rows = rows_with(pairs, ("model", "align", barrier))
    constant = rows["constant"].astype(bool) if len(rows) else pd.Series(dtype=bool)
    if rows[~constant].empty:
        return blank_figure(title, MATRICES)
    left_out = len(rows.loc[constant, ["run_a", "run_b"]].drop_duplicates())  # once, however often it was aligned
    note = f"\n{counted(left_out, 'pair')} with a constant predictor left out" if left_out else ""
    rows = rows[~constant].assign(way=_ways(rows[~constant]))
    models, ways = _models(rows), _ordered_ways(rows["way"])
    datasets = list(rows.groupby("dataset", sort=False))
    with house_style():
        width = max(6.0, 0.8 * len(models) * len(ways))
        figure, grid = grid_of_panels(len(datasets), 1, titled(title, rows) + note, width=width)
        for (name, of_one), (panel,) in zip(datasets, grid, strict=True):
            _every_network(panel, of_one, barrier, ways)
            panel.set_ylabel(f"{barrier.replace('_', ' ')}{unit}")
            panel.set_title(str(name) if len(datasets) > 1 else "", fontsize="small")
        if len(ways) > 1:
            colors = [group_style(number)["color"] for number in range(len(ways))]
            handles = [Patch(facecolor=c, edgecolor="black", label=w) for c, w in zip(colors, ways, strict=True)]
            grid[0][0].legend(handles=handles, fontsize="small", frameon=True)
    return figure


def _every_network(panel: Axes, rows: pd.DataFrame, barrier: str, ways: Sequence[str]) -> None:
    """Draw the boxes of one data set, under each network its number of pairs."""
    models = _models(rows)
    for number, way in enumerate(ways):
        if (of_one := rows[rows["way"] == way]).size:
            _boxes(panel, of_one, barrier, models, (number, len(ways)))
    counts = rows.groupby("model").size()
    per_way = {m: int(counts[m] / rows.loc[rows["model"] == m, "way"].nunique()) for m in models}
    names = [f"{_short(m, models)}\nn = {per_way[m]}" for m in models]
    panel.set_xticks(range(len(models)), names)
    panel.set_xlabel(_axis(models) + " (n: pairs each)")


def _boxes(panel: Axes, rows: pd.DataFrame, barrier: str, models: Sequence[str], number_of: tuple[int, int]) -> None:
    """Draw the boxes of one alignment, beside those of the others; whiskers reach 1.5 interquartile ranges."""
    number, num_ways = number_of
    width = 0.8 / num_ways
    present = [model for model in models if (rows["model"] == model).any()]
    values = [rows.loc[rows["model"] == model, barrier].to_numpy(dtype=float) for model in present]
    places = [models.index(model) + (number - (num_ways - 1) / 2) * width for model in present]
    color = group_style(number)["color"]
    panel.boxplot(
        values,
        positions=places,
        widths=0.85 * width,
        patch_artist=True,
        showfliers=True,
        boxprops={"facecolor": color, "linewidth": 1, "alpha": 0.8},
        medianprops={"color": "black"},
        flierprops={"marker": "o", "markersize": 3, "markeredgecolor": color},
    )


def paths_of_zoo(points: pd.DataFrame, value: str = "loss") -> Figure:
    """Draw the mean over all pairs against alpha, a line for each network and a panel for each alignment.

    Args:
        points: from `query.matrix_points`.
        value: `loss` or `accuracy`.
    """
    title = f"Mean test {value} between every two networks"
    rows = rows_with(points, ("model", "align", "alpha", value))
    if rows.empty:
        return blank_figure(title, MATRICES)
    rows = rows.assign(way=_ways(rows))
    models, ways = _models(rows), _ordered_ways(rows["way"])
    with house_style():
        figure, axes = panels(len(ways), titled(title, rows), sharey=True)
        for panel, way in zip(axes, ways, strict=True):
            for number, model in enumerate(models):
                part = rows[(rows["way"] == way) & (rows["model"] == model)]
                mean = part.groupby("alpha")[value].mean()
                if len(mean):
                    panel.plot(
                        mean.index,
                        mean,
                        label=f"width {_short(model, models)}" if _are_widths(models) else model,
                        markersize=4,
                        **group_style(number),
                    )
            panel.set_title(way, fontsize="small")
            panel.set_xlabel("alpha")
        axes[0].set_ylabel(f"{value} (nats per sample)" if value == "loss" else value)
        shared_legend(figure, axes)
    return figure


def segments_of_zoo(points: pd.DataFrame, models: Sequence[str] = ()) -> Figure:
    """Draw loss against alpha of every pair, and their mean: a row for each alignment, a column for each network.

    Args:
        points: from `query.matrix_points`.
        models: which networks; empty: the smallest, the middle and the largest of the table.
    """
    title = "Test loss between every two networks: every pair, and the mean"
    rows = rows_with(points, ("model", "align", "alpha", "loss"))
    rows = rows[rows["model"].isin(list(models))] if models else rows
    if rows.empty:
        return blank_figure(title, MATRICES)
    rows = rows.assign(way=_ways(rows))
    every, ways = _models(rows), _ordered_ways(rows["way"])
    chosen = list(dict.fromkeys([every[0], every[len(every) // 2], every[-1]])) if not models else every
    with house_style():
        figure, grid = grid_of_panels(
            len(ways), len(chosen), titled(title, rows), width=3.4, height=2.8, sharex=True, sharey="col"
        )
        for way, line in zip(ways, grid, strict=True):
            for model, panel in zip(chosen, line, strict=True):
                part = rows[(rows["way"] == way) & (rows["model"] == model)]
                num = _lines(panel, part)
                panel.set_title(f"{model}, {way}\n{counted(num, 'pair')}", fontsize="small")
            line[0].set_ylabel("loss (nats per sample)")
        for panel in grid[-1]:
            panel.set_xlabel("alpha")
    return figure


def _lines(panel: Axes, part: pd.DataFrame) -> int:
    groups = [group for _, group in part.groupby(KEY, sort=False)]
    style: dict[str, Any] = {"color": "#1b4f8f", "linewidth": 0.7, "alpha": 0.35}
    for group in groups[:: -(-len(groups) // MOST_LINES) or 1]:
        panel.plot(group["alpha"], group["loss"], **style)
    if groups:
        mean = part.groupby("alpha")["loss"].mean()
        panel.plot(mean.index, mean, color="black", linewidth=2, linestyle="--")
    return len(groups)


def _ways(rows: pd.DataFrame) -> "pd.Series[str]":
    """Write how the pairs of each row's matrix were aligned."""
    way = ("aligned by " + rows["align"]).where(rows["align"] != "none", "not aligned")
    if "reference" not in rows:
        return way
    towards = rows["reference"].astype(str).str[:8].where(rows["reference"] != "best", "the best")
    return way.where(rows["reference"] == "pairwise", way + " towards " + towards)


def _ordered_ways(ways: "pd.Series[str]") -> list[str]:
    return sorted(set(ways), key=lambda way: (way != "not aligned", way))


def _models(rows: pd.DataFrame) -> list[str]:
    """List the networks of a table, those with smaller numbers in their names first."""
    return in_natural_order(list(rows["model"]))


def _short(model: str, models: Sequence[str]) -> str:
    return str(facts_of(model).widths[0]) if _are_widths(models) else model


def _axis(models: Sequence[str]) -> str:
    return "width" if _are_widths(models) else "network"


def _are_widths(models: Sequence[str]) -> bool:
    return all(is_minimal(model) for model in models)
