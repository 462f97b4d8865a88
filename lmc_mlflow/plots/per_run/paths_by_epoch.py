"""Draws the barriers between both sides of a pair against epoch, distance and angle."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lmc_mlflow.contract import UNALIGNED
from lmc_mlflow.plots.style import house_style, legend_below, panels

DEFINITIONS: Mapping[str, Mapping[str, Any]] = {
    "barrier": {
        "color": "#1b4f8f",
        "marker": "o",
        "linewidth": 4.0,
        "alpha": 0.4,
        "label": "over the mean of both ends",
    },
    "barrier_over_chord": {"color": "#c8641a", "marker": "s", "linestyle": "-.", "label": "over the chord"},
    "barrier_in_basin": {"color": "#5a9e3a", "marker": "^", "label": "in the basin"},
    "error_barrier": {"color": "#7a4a9e", "marker": "d", "linestyle": "--", "label": "of the error (fraction)"},
}
NOT_ALIGNED: Mapping[str, Any] = {"linestyle": ":", "linewidth": 1.0, "alpha": 0.7, "markerfacecolor": "none"}
"""Style of the path to B as it was logged, where the other is to B with its units aligned."""
AXES: Mapping[str, str] = {
    "epoch": "epoch",
    "distance": "distance between the sides (Euclidean)",
    "angle_deg": "angle between the sides (degrees)",
}


def paths_by_epoch_figure(table: pd.DataFrame, title: str) -> Figure:
    """Draw every definition of the barrier on the first split of a table, a panel against each of three axes.

    Args:
        table: columns epoch, split, barriers, angle_deg, euclidean_squared; a row an epoch and split; with an
            alignment also those of the path without, after `unaligned/`.
        title: over the figure.
    """
    split = table["split"].iloc[0]
    rows = table[table["split"] == split].sort_values("epoch")
    rows = rows.assign(distance=rows["euclidean_squared"] ** 0.5)
    if f"{UNALIGNED}euclidean_squared" in rows:
        rows[f"{UNALIGNED}distance"] = rows[f"{UNALIGNED}euclidean_squared"] ** 0.5
    with house_style():
        figure, axes = panels(len(AXES), title)
        for panel, (name, label) in zip(axes, AXES.items(), strict=True):
            for key, style in DEFINITIONS.items():
                if key in rows:
                    panel.plot(rows[name], rows[key], markersize=4, **style)
                if f"{UNALIGNED}{key}" in rows:
                    x = rows[f"{UNALIGNED}{name}" if f"{UNALIGNED}{name}" in rows else name]
                    label = f"{style['label']}, not aligned"
                    panel.plot(x, rows[f"{UNALIGNED}{key}"], markersize=4, **{**style, **NOT_ALIGNED, "label": label})
            panel.set(xlabel=label, ylabel=f"barrier on {split} (nats)")
        axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
        legend_below(figure, axes[0], columns=2)
    return figure
