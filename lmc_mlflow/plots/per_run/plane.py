"""Draws loss and accuracy over the plane through three networks (Garipov et al., 2018, Fig. 1)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from lmc_mlflow.plots.score_labels import in_words, score_in
from lmc_mlflow.plots.style import grid_of_panels, house_style

Points = Mapping[str, tuple[float, float]]
HIGHEST_SHARE = 0.85
"""Share of the points whose losses have different colours; the highest losses, far from the networks, share one."""
NUM_LEVELS = 16
NETWORKS = {"A": "run_a", "B": "run_b", "C": "run_c"}
"""Name of a network in `points.json` -> how the figure calls it, because A and B are sides."""
PANEL_WORDS = {"as logged": "not aligned", "unaligned": "not aligned"}
"""Name of a panel in `plane.csv` -> its title."""


def plane_figure(table: pd.DataFrame, points: Mapping[str, Points], title: str) -> Figure:
    """Draw loss (logarithmic levels) and accuracy over the plane, the three networks marked; a row for each panel.

    Args:
        table: columns panel, x, y, loss, accuracy (or average_precision): the content of `plane.csv`.
        points: panel -> name -> coordinates: the content of `points.json`.
        title: over the figure.
    """
    score, names = score_in(table), list(dict.fromkeys(table["panel"]))
    levels = {"loss": _loss_levels(table["loss"]), score: _score_levels(100 * table[score])}
    with house_style():
        figure, rows = grid_of_panels(len(names), 2, title, width=4.8, height=4.2)
        for name, (left, right) in zip(names, rows, strict=True):
            part = table[table["panel"] == name]
            for panel, column, scale, label in (
                (left, "loss", 1.0, "loss (nats per sample, logarithmic scale)"),
                (right, score, 100.0, f"{in_words(score)} (%)"),
            ):
                _surface(figure, panel, part, (column, scale), levels[column], label)
                _triangle(panel, points[name])
                panel.set(xlabel="along run_b - run_a (L2)", ylabel="across (L2)", aspect="equal")
                panel.set_title(PANEL_WORDS.get(name, name), fontsize="small")
    return figure


def _loss_levels(losses: "pd.Series[float]") -> list[float]:
    known = losses[np.isfinite(losses) & (losses > 0)]
    if known.empty:
        return list(np.geomspace(1e-3, 1.0, NUM_LEVELS))
    low, high = float(known.min()), float(known.quantile(HIGHEST_SHARE))
    return list(np.geomspace(low, max(high, low * 1.01), NUM_LEVELS))


def _score_levels(scores: "pd.Series[float]") -> list[float]:
    low, high = float(scores.quantile(1 - HIGHEST_SHARE)), float(scores.max())
    return list(np.linspace(min(low, high - 0.01), high, NUM_LEVELS))


def _surface(
    figure: Figure, panel: Axes, part: pd.DataFrame, what: tuple[str, float], levels: list[float], label: str
) -> None:
    column, scale = what
    grid = scale * part.pivot(index="y", columns="x", values=column)
    is_loss = column == "loss"
    shown = panel.contourf(
        grid.columns.to_numpy(),
        grid.index.to_numpy(),
        grid.to_numpy(),
        levels=levels,
        cmap="viridis_r" if is_loss else "viridis",
        norm=BoundaryNorm(levels, 256, extend="both"),
        extend="both",
    )
    bar = figure.colorbar(shown, ax=panel, label=label, ticks=levels[::3], shrink=0.85)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    bar.ax.minorticks_off()
    panel.grid(visible=False)


def _triangle(panel: Axes, points: Points) -> None:
    places = [*points.values(), next(iter(points.values()))]
    xs, ys = zip(*places, strict=True)
    panel.plot(xs, ys, color="white", linewidth=1, linestyle="--")
    last = max(xs)
    for name, (x, y) in points.items():
        at_edge = x == last
        panel.plot(x, y, "o", color="white", markeredgecolor="black", markersize=7, zorder=5)
        panel.annotate(
            NETWORKS.get(name, name), (x, y), xytext=(-6 if at_edge else 6, 6), textcoords="offset points",
            color="black", fontweight="bold", ha="right" if at_edge else "left",
            bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.7},
        )  # fmt: skip
