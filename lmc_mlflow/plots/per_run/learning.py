"""Draws learning curves of both sides of a pair (Hepburn et al., Figs. 20 and 21)."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lmc_mlflow.plots.score_labels import in_words, score_in
from lmc_mlflow.plots.style import SIDE_STYLES, house_style, legend_below, log_scale, panels


def learning_figure(table: pd.DataFrame, title: str) -> Figure:
    """Draw training and test loss and accuracy of both sides against epochs.

    Args:
        table: columns epoch, side, split (train or test), loss, accuracy (or average_precision).
        title: over the figure.
    """
    score = score_in(table)
    with house_style():
        figure, (loss_panel, accuracy_panel) = panels(2, title)
        for (side, split), rows in table.groupby(["side", "split"], sort=False):
            style: dict[str, Any] = {
                **SIDE_STYLES[str(side)],
                "linewidth": 1.0 if split == "train" else 2.0,
                "alpha": 0.75 if split == "train" else 1.0,
            }
            rows = rows.sort_values("epoch")
            loss_panel.plot(rows["epoch"], rows["loss"], label=f"side {side}, {split}", **style)
            accuracy_panel.plot(rows["epoch"], 100 * rows[score], **style)
        for panel in (loss_panel, accuracy_panel):
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        loss_panel.set(xlabel="epoch", ylabel="loss (nats per sample, logarithmic scale)")
        log_scale(loss_panel, table["loss"][table["loss"] > 0])
        accuracy_panel.set(xlabel="epoch", ylabel=f"{in_words(score)} (%)")
        legend_below(figure, loss_panel, columns=4)
    return figure
