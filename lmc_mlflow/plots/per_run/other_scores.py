"""Draws the scores of an ensemble on further test sets."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lmc_mlflow.plots.style import house_style, legend_below, panels

ACCURACIES: Mapping[str, Mapping[str, Any]] = {
    "mean_prediction_accuracy": {"color": "#1b4f8f", "marker": "o", "label": "ensemble, averaged probabilities"},
    "member_accuracy": {"color": "#c8641a", "marker": "s", "label": "members alone, mean"},
    "estimated_accuracy_gde": {
        "color": "black",
        "marker": "x",
        "label": "members, estimated without labels: their agreement",
    },
    "estimated_accuracy_line": {
        "color": "black",
        "marker": "+",
        "label": "members, estimated without labels: agreement on the line",
    },
}
ERRORS: Mapping[str, Mapping[str, Any]] = {
    "wrong_agreement": {"color": "#b5367a", "marker": "v", "label": "wrong agreement"},
    "wrong_disagreement": {"color": "#2a8f8f", "marker": "^", "label": "wrong disagreement"},
    "ece": {"color": "#8c6d1f", "marker": "D", "label": "expected calibration error"},
}


def other_scores_figure(table: pd.DataFrame, title: str) -> Figure:
    """Draw accuracies and their estimates, and errors of an ensemble: a place on the axis for each test set.

    Args:
        table: the content of `scores_on_other_data.json`: columns split, score, value, low, high.
        title: over the figure.
    """
    splits = list(dict.fromkeys(table["split"]))
    with house_style():
        figure, axes = panels(2, title, width=max(4.6, 1.1 * len(splits)))
        for panel, scores in zip(axes, (ACCURACIES, ERRORS), strict=True):
            for number, (name, style) in enumerate(scores.items()):
                rows = table[table["score"] == name].set_index("split").reindex(splits)
                places = np.arange(len(splits)) + 0.12 * (number - (len(scores) - 1) / 2)
                values = 100 * rows["value"].to_numpy(dtype=float)
                low, high = (100 * rows[end].to_numpy(dtype=float) for end in ("low", "high"))
                bars = np.clip(np.stack([values - low, high - values]), 0, None)
                panel.errorbar(places, values, yerr=bars, linestyle="none", markersize=6, capsize=2, **style)
            panel.set_xticks(range(len(splits)), splits, rotation=20 if len(splits) > 2 else 0)
            panel.grid(visible=False, axis="x")
        axes[0].set_ylabel("accuracy (%)")
        axes[1].set_ylabel("share (%)")
        legend_below(figure, axes[0], columns=2)
        axes[1].legend(fontsize="small", loc="best", framealpha=0.6)
    return figure
