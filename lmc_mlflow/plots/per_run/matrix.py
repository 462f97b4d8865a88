"""Draws the barriers between every two of many networks, in the order of their clusters."""

import math
import warnings

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure

from lmc_mlflow.config.network_groups import THRESHOLDS
from lmc_mlflow.findings.thresholds import FLAT_BELOW
from lmc_mlflow.paths.graph import tree
from lmc_mlflow.plots.missing import MATRICES, blank_figure
from lmc_mlflow.plots.style import TEXT_WIDTH, ShownFigure, house_style

MOST_NUMBERS, MOST_LABELS = 12, 60
"""Networks up to which every cell has its number, and every row its name."""
UNITS = {"error_barrier": "fraction of images"}
"""Of barriers that are not in nats."""
MEAN_LOSS, LARGEST = "mean_loss", "largest"
COLORS_END = (MEAN_LOSS, LARGEST)
"""Where colours may end."""
LOWEST_MIDDLE = 1e-9
"""In the place of a threshold of 0, which would leave no room for the colours below it."""
COLORS = ((0.0, "#ffffff"), (0.5, "#c6dbef"), (0.5, "#e6894a"), (1.0, "#5b1a05"))
"""Pale up to the threshold, which stands in the middle, and dark above."""


def matrix_figure(
    pairs: pd.DataFrame,
    networks: pd.DataFrame,
    barrier: str,
    linkage: str = "average",
    title: str = "",
    threshold: float | None = None,
    colors_end: str = MEAN_LOSS,
) -> Figure:
    """Draw a heat map of barriers, rows and columns in the order of a hierarchical clustering, and its dendrogram.

    Barriers are the distances that are clustered. Networks that are no better than predicting the largest class are
    marked with an asterisk.

    Args:
        pairs: columns run_a, run_b and the barrier: the content of `pairs.csv`.
        networks: columns network, label, constant: the content of `networks.csv`.
        barrier: the column of `pairs` that is drawn.
        linkage: average, single or complete.
        title: over the figure.
        threshold: a barrier up to it connects two networks: pale cells, and the cut through the tree.
            None: that of the command `matrix`.
        colors_end: `mean_loss`: colours end at the networks' mean test loss, as on the permutation slides, so that
            matrices of the same networks, aligned and not, compare; a higher barrier has the darkest colour, and
            barriers that are not in nats end at the largest one. `largest`: at the largest barrier.

    Raises:
        ValueError: no such end of the colours.
    """
    if colors_end not in COLORS_END:
        raise ValueError(f"colors_end {colors_end!r} is unknown; choose from {', '.join(COLORS_END)}")
    if threshold is None:
        threshold = THRESHOLDS.get(barrier, FLAT_BELOW)
    if len(pairs) == 0:
        return blank_figure(title or "Barriers between every two networks", MATRICES)
    ids = list(networks["network"])
    grid = pd.DataFrame(0.0, index=ids, columns=ids)
    for a, b, value in zip(pairs["run_a"], pairs["run_b"], pairs[barrier], strict=True):
        grid.loc[a, b] = grid.loc[b, a] = value
    labels = [
        f"{label}{' *' if constant else ''}"
        for label, constant in zip(networks["label"], networks["constant"], strict=True)
    ]
    frame = pd.DataFrame(grid.to_numpy(), index=labels, columns=labels)
    note = "\n* no better than naming the largest class" if networks["constant"].any() else ""
    note += f"\npale: up to the threshold {threshold:g}; dashed: the cut of the tree there"
    end, words = _end_of_colors(frame.to_numpy(), networks, barrier, threshold, colors_end)
    return _drawn(frame, barrier, linkage, f"{title}{note}{words}", threshold, end)


def _end_of_colors(
    values: np.ndarray, networks: pd.DataFrame, barrier: str, threshold: float, colors_end: str
) -> tuple[float, str]:
    """Choose the barrier at which colours end, with room above the threshold; and say it, where it is no barrier."""
    least = 2 * max(threshold, LOWEST_MIDDLE)
    if colors_end == LARGEST or barrier in UNITS or "test_loss" not in networks:
        return max(float(values[np.isfinite(values)].max()), least), ""
    loss = float(networks["test_loss"].mean())
    end = max(loss, least) if math.isfinite(loss) else least
    return end, f"; colours end at {end:.3g} (mean test loss: {loss:.3g})"


def _drawn(frame: pd.DataFrame, barrier: str, linkage: str, title: str, threshold: float, end: float) -> Figure:
    import seaborn as sns  # see plots.style
    from seaborn.matrix import dendrogram

    num, longest = len(frame), max(map(len, frame.index))
    side = max(3.2, 0.42 * num if num <= MOST_LABELS else 8.0)
    has_labels, values = num <= MOST_LABELS, frame.to_numpy()
    words = TEXT_WIDTH * 0.8 * longest if has_labels else 0.2
    with house_style():
        figure = ShownFigure(
            figsize=(side + words + 2.6, side + words + 1.3 + 0.25 * title.count("\n")), layout="constrained"
        )
        tree_panel, panel = figure.subplots(1, 2, width_ratios=[1.0, side])
        clusters = tree(values, linkage)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Attempting to set identical")  # where all barriers are 0
            drawn = dendrogram(frame, linkage=clusters, axis=0, label=False, rotate=True, ax=tree_panel)
        order = drawn.reordered_ind
        tree_panel.set_axis_off()  # both panels fill one row of the figure: a branch stands at the height of its rows
        tree_panel.set_ylim(10 * num, 0)
        farthest = 1.1 * max(float(clusters[:, 2].max()), threshold)
        tree_panel.set_xlim(farthest, 0)  # the leaves are beside their rows
        tree_panel.axvline(threshold, color="#c8641a", linestyle="--", linewidth=1.2)
        norm = TwoSlopeNorm(max(threshold, LOWEST_MIDDLE), vmin=0.0, vmax=end)
        higher = bool((values[np.isfinite(values)] > end).any())
        sns.heatmap(
            frame.iloc[order, order],
            ax=panel,
            cmap=LinearSegmentedColormap.from_list("threshold", COLORS),
            norm=norm,
            linewidths=0.5 if has_labels else 0,
            linecolor="#d0d0d0",
            annot=num <= MOST_NUMBERS,
            fmt=".2g",
            annot_kws={"fontsize": "x-small"},
            xticklabels=has_labels,
            yticklabels=has_labels,
            cbar_kws={
                "label": f"{barrier.replace('_', ' ')} ({UNITS.get(barrier, 'nats per sample')})",
                "shrink": 0.7,
                "extend": "max" if higher else "neither",
            },
        )
        panel.yaxis.tick_right()
        panel.tick_params(axis="y", rotation=0, labelsize="small", length=0)
        panel.tick_params(axis="x", rotation=90, labelsize="small", length=0)
        figure.suptitle(title, fontsize="medium")
    return figure
