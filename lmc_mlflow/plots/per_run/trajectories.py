"""Draws loss and accuracy of the networks of a trajectory, and of their average, against epochs."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lmc_mlflow.plots.score_labels import in_words, score_in
from lmc_mlflow.plots.style import house_style, legend_below, log_scale, panels

SPLITS: Mapping[str, Mapping[str, Any]] = {
    "train": {"color": "#c8641a", "linestyle": "--", "linewidth": 1.2, "label": "training, as trained on"},
    "test": {"color": "#1b4f8f", "linestyle": "-", "linewidth": 2.0, "marker": "o", "markersize": 4, "label": "test"},
}


def trajectory_figure(table: pd.DataFrame, summary: Mapping[str, float], title: str) -> Figure:
    """Draw curves over the further epochs, the start first, with a line at the average's test loss and score.

    Args:
        table: columns epoch, split (train or test), loss, accuracy (or average_precision).
        summary: `test/loss_swa` and `test/accuracy_swa` (or `test/average_precision_swa`).
        title: over the figure.
    """
    score = score_in(table)
    with house_style():
        figure, axes = panels(2, title)
        for panel, name, unit in ((axes[0], "loss", 1), (axes[1], score, 100)):
            for split, style in SPLITS.items():
                rows = table[table["split"] == split].sort_values("epoch")
                panel.plot(rows["epoch"], unit * rows[name], **style)
            panel.axhline(
                unit * summary[f"test/{name}_swa"],
                color="#5a9e3a",
                linestyle=":",
                linewidth=2.5,
                label="average (SWA), test",
            )
        axes[0].set(xlabel="epoch", ylabel="loss (nats per sample, logarithmic scale)")
        log_scale(axes[0], table["loss"].dropna())
        axes[1].set(xlabel="epoch", ylabel=f"{in_words(score)} (%)")
        for panel in axes:
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend_below(figure, axes[0], columns=3)
    return figure
