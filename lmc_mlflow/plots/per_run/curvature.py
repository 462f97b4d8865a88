"""Draws the curvature of the loss along a path, and its blocks layer by layer."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.hessian.measures import MEASURES
from lmc_mlflow.plots.missing import blank_figure
from lmc_mlflow.plots.split_styles import split_styles
from lmc_mlflow.plots.style import ALPHA_AXIS, SPLIT_LABELS, SPLIT_STYLES, grid_of_panels, house_style, shared_legend

LOSS = "loss"
LOSS_LABEL = "loss (nats per sample)"
NONE = "No curvature was measured here"
PLACES = {0.0: "run_a", 0.5: "midpoint", 1.0: "run_b"}


def curvature_figure(table: pd.DataFrame, title: str) -> Figure:
    """Draw loss and every measure of curvature against alpha, a line for each split; bars: intervals of traces.

    Args:
        table: columns alpha, split, loss and measures: the content of `curvature.json`.
        title: over the figure.
    """
    names = _measures_in(table)
    if table.empty or not names:
        return blank_figure(title, NONE)
    styles = split_styles(map(str, table["split"]))
    with house_style():
        figure, (panels,) = grid_of_panels(1, 1 + len(names), title, width=3.6)
        for panel, name in zip(panels, (LOSS, *names), strict=True):
            for split, part in table.groupby("split", sort=False):
                style = {**styles[str(split)], "markersize": 5}
                rows = part.sort_values("alpha")
                panel.plot(rows["alpha"], rows[name], **style)
                if f"{name}_low" in rows:
                    panel.vlines(
                        rows["alpha"], rows[f"{name}_low"], rows[f"{name}_high"], color=style["color"], alpha=0.6
                    )
            panel.set(xlabel=ALPHA_AXIS, ylabel=LOSS_LABEL if name == LOSS else MEASURES[name].words)
        shared_legend(figure, panels)
    return figure


def layers_figure(table: pd.DataFrame, title: str) -> Figure:
    """Draw every measure of each layer's own block of the Hessian, a panel for each measure, for the first split.

    Args:
        table: columns alpha, split, layer and measures: the content of `curvature_by_layer.json`.
        title: over the figure.
    """
    names = _measures_in(table)
    if table.empty or not names:
        return blank_figure(title, NONE)
    split = str(table["split"].iloc[0])
    rows = table[(table["split"] == split) & table["alpha"].isin(PLACES)]
    layers = list(dict.fromkeys(rows["layer"]))
    with house_style():
        height = max(2.6, 0.9 + 0.22 * len(layers))
        figure, (panels,) = grid_of_panels(
            1, len(names), f"{title}\nby layer, {SPLIT_LABELS[split]}", width=3.8, height=height
        )
        for panel, name in zip(panels, names, strict=True):
            for number, (alpha, part) in enumerate(rows.groupby("alpha")):
                _draw_layers(panel, part.set_index("layer")[name].reindex(layers), number, PLACES[float(str(alpha))])
            panel.set_yticks(range(len(layers)), layers)
            panel.set_ylim(len(layers) - 0.5, -0.5)
            panel.set_xlabel(MEASURES[name].words)
        shared_legend(figure, panels)
    return figure


def _draw_layers(panel: Axes, values: "pd.Series[float]", number: int, label: str) -> None:
    style = list(SPLIT_STYLES.values())[number]
    panel.plot(values, range(len(values)), linestyle="none", color=style["color"], marker=style["marker"], label=label)
    panel.axvline(0, color="0.6", linewidth=0.8)


def _measures_in(table: pd.DataFrame) -> list[str]:
    return [name for name in MEASURES if name in table and table[name].notna().any()]
