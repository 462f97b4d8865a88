"""Draws who pays for the barrier of a path, by class and by side, and what calibration leaves of it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.plots.split_styles import split_styles
from lmc_mlflow.plots.style import SPLIT_LABELS, alpha_axis, house_style, legend_below, panels, readable_log

PAYERS: Mapping[str, Mapping[str, Any]] = {
    "A": {"color": "#c8641a", "hatch": "", "label": "classes that side A saw more of"},
    "B": {"color": "#5a9e3a", "hatch": "///", "label": "classes that side B saw more of"},
    "equal": {"color": "#8a8a8a", "hatch": "", "label": "classes that both saw equally"},
    "unknown": {"color": "#8a8a8a", "hatch": "...", "label": "classes"},
}
MOST_CLASSES = 30
"""Of more classes, those are drawn that pay or gain most."""


def who_pays_figure(table: pd.DataFrame, title: str) -> Figure:
    """Draw what each class pays of the height of a path over its chord, and each side's classes on every split.

    Args:
        table: the content of `barrier_by_class.json`: columns split, label, class, seen_more, alpha, contribution.
        title: over the figure.
    """
    splits = list(dict.fromkeys(table["split"]))
    split = "test" if "test" in splits else splits[0]
    rows = table[table["split"] == split].sort_values("label")
    if len(rows) > MOST_CLASSES:
        rows = rows.loc[rows["contribution"].abs().nlargest(MOST_CLASSES).index].sort_values("label")
    with house_style():
        figure, (classes, sides) = panels(2, title, width=5.2)
        positions = np.arange(len(rows))
        for payer, style in PAYERS.items():
            own = (rows["seen_more"] == payer).to_numpy()
            if own.any():
                classes.bar(positions[own], rows["contribution"][own], edgecolor="white", **style)
        classes.axhline(0, color="black", linewidth=0.8)
        classes.set_xticks(positions, [str(name) for name in rows["class"]])
        if max((len(str(name)) for name in rows["class"]), default=0) > 2:
            classes.tick_params(axis="x", rotation=90)
        where = f"{SPLIT_LABELS.get(split, split)}, alpha {rows['alpha'].iloc[0]:.2f}"
        classes.set(xlabel=f"class ({where})", ylabel="contribution to the height (nats)")
        classes.grid(visible=False, axis="x")
        _draw_sides(sides, table, splits)
        legend_below(figure, classes, columns=3)
    return figure


def _draw_sides(panel: Axes, table: pd.DataFrame, splits: list[str]) -> None:
    """Draw a bar a split and side: what its classes pay together; a diamond is the whole height."""
    sums = table.groupby(["split", "seen_more"])["contribution"].sum()
    present = [payer for payer in PAYERS if payer in set(table["seen_more"])]
    width = 0.8 / len(present)
    for place, split in enumerate(splits):
        for number, payer in enumerate(present):
            left = place + (number - (len(present) - 1) / 2) * width
            style = {**PAYERS[payer], "label": None}
            panel.bar(left, sums.get((split, payer), 0.0), width, edgecolor="white", **style)
        panel.plot(place, sums[split].sum(), "D", color="black", markerfacecolor="white", markersize=6, zorder=4)
    panel.axhline(0, color="black", linewidth=0.8)
    panel.set_xticks(range(len(splits)), [SPLIT_LABELS.get(split, split) for split in splits])
    panel.tick_params(axis="x", rotation=25 if len(splits) > 2 else 0)
    panel.grid(visible=False, axis="x")
    panel.set_ylabel("contribution (nats); diamond: their sum")


def calibrated_figure(table: pd.DataFrame, title: str, ends: tuple[str, str] = ("", "")) -> Figure:
    """Draw the loss of a path and that at the best softmax temperature, and the temperature, against alpha.

    Args:
        table: the content of `path.json` of a path measured with `calibrate`: columns alpha, split, loss,
            calibrated_loss, temperature.
        title: over the figure.
        ends: what the networks at alpha 0 and 1 are, such as `seed 1 A`.
    """
    styles = split_styles(table["split"])
    with house_style():
        figure, (losses, temperatures) = panels(2, title, width=5.2)
        for split, rows in table.groupby("split", sort=False):
            rows = rows.sort_values("alpha")
            style = {**styles[str(split)], "markersize": 3.5, "linewidth": 1.4}
            losses.plot(rows["alpha"], rows["loss"], **style)
            losses.plot(
                rows["alpha"],
                rows["calibrated_loss"],
                **{**style, "markerfacecolor": "white", "linewidth": 0.9, "label": f"{style['label']}, calibrated"},
            )
            temperatures.plot(rows["alpha"], rows["temperature"], **style)
        temperatures.axhline(1, color="black", linewidth=0.8, linestyle="--")  # above it: overconfident
        losses.set(xlabel=alpha_axis(ends), ylabel="loss (nats per sample)")
        temperatures.set(xlabel=alpha_axis(ends), ylabel="best temperature", yscale="log")
        finite = table["temperature"][np.isfinite(table["temperature"].astype(float))]
        if len(finite):
            readable_log(temperatures.yaxis, min(0.9, finite.min()), max(1.1, finite.max()))
        legend_below(figure, losses, columns=2)
    return figure
