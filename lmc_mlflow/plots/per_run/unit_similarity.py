"""Draws cosines between the units of a hidden layer, ordered by hierarchical clustering."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from lmc_mlflow.paths.graph import tree
from lmc_mlflow.plots.style import house_style, panels

MOST_UNITS = 600
"""Of more units than this the strongest are shown: a figure has one pixel for each."""
HEAT_MAP: Mapping[str, Any] = {
    "cmap": "vlag",
    "vmin": -1,
    "vmax": 1,
    "figsize": (7.0, 6.8),
    "dendrogram_ratio": 0.13,
    "cbar_pos": None,
    "yticklabels": False,
    "rasterized": True,
}
"""How every heat map of units looks."""
OUTCOME_COLORS: Mapping[str, str] = {"kept": "#1b4f8f", "merged": "#e8a33d", "weak": "#b9b9b9", "dead": "#111111"}
OUTCOME_LABELS: Mapping[str, str] = {
    "kept": "kept",
    "merged": "taken in by another",
    "weak": "dropped: weak",
    "dead": "dropped: dead",
}


def unit_similarity(
    cosines: NDArray[np.float64], strengths: NDArray[np.float64], outcomes: Sequence[str], title: str
) -> Figure:
    """Draw cosines between the incoming weights of a layer's units; left of each row what became of the unit.

    The order is that of average linkage over the Euclidean distances between rows. A layer without units gives a figure
    without a heat map.

    Args:
        cosines: (n, n).
        strengths: (n,); of more than `MOST_UNITS` units the strongest are shown.
        outcomes: n keys of `OUTCOME_COLORS`.
        title: over the figure.
    """
    num_units = len(strengths)
    if num_units == 0:
        return _nothing(title)
    shown = np.sort(np.argsort(-strengths, kind="stable")[:MOST_UNITS])
    table = pd.DataFrame(cosines[np.ix_(shown, shown)], index=shown, columns=shown)
    what = [outcomes[i] for i in shown]
    clusters = tree(_distances(table.to_numpy()), "average") if len(shown) > 1 else None
    import seaborn as sns  # see plots.style

    with house_style():
        grid = sns.clustermap(
            table,
            row_linkage=clusters,
            col_linkage=clusters,
            row_cluster=clusters is not None,
            col_cluster=clusters is not None,
            row_colors=pd.Series([OUTCOME_COLORS[outcome] for outcome in what], index=shown, name=""),
            xticklabels=len(shown) <= 40,
            **HEAT_MAP,
        )
        figure: Figure = grid.figure
        plt.close(figure)  # pyplot, through which seaborn makes it, need not remember it
        figure.subplots_adjust(left=0.03, right=0.8, bottom=0.12, top=0.9)
        bar = figure.add_axes((0.83, 0.3, 0.02, 0.4))
        figure.colorbar(grid.ax_heatmap.collections[0], cax=bar, label="cosine of incoming weights with bias (-1 to 1)")
        grid.ax_heatmap.set(xlabel=_whose(len(shown), num_units), ylabel="")
        patches = [Patch(color=OUTCOME_COLORS[key], label=OUTCOME_LABELS[key]) for key in OUTCOME_COLORS if key in what]
        figure.legend(handles=patches, loc="lower center", ncols=len(patches), fontsize="small", frameon=False)
        figure.suptitle(title, fontsize="medium")
    return figure


def _distances(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the Euclidean distances between all rows (n, n); symmetric, with zeros on the diagonal."""
    squares = (rows**2).sum(axis=1)
    products = rows @ rows.T
    found = np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2 * products, 0))
    found = (found + found.T) / 2
    np.fill_diagonal(found, 0)
    return np.asarray(found)


def _whose(num_shown: int, num_units: int) -> str:
    if num_shown < num_units:
        return f"the {num_shown} strongest of {num_units} units"
    return f"{num_units} unit{'s' if num_units > 1 else ''}"


def _nothing(title: str) -> Figure:
    with house_style():
        figure, (panel,) = panels(1, title)
        panel.text(0.5, 0.5, "no unit is left", ha="center", transform=panel.transAxes)
        panel.set_axis_off()
    return figure
