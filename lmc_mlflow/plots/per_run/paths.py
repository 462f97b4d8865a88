"""Draws one path: against alpha (Hepburn et al., Fig. 3) and in polar coordinates (Fig. 15)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.paths.barriers import barrier_in_basin
from lmc_mlflow.paths.intervals import Intervals
from lmc_mlflow.paths.measures import MEASURES
from lmc_mlflow.plots.score_labels import in_words, measures_in, score_in
from lmc_mlflow.plots.split_styles import split_styles
from lmc_mlflow.plots.style import (
    alpha_axis,
    house_style,
    legend_below,
    panels,
    polar_frame,
    rim,
    score_center,
)


def path_figure(
    table: pd.DataFrame,
    title: str,
    intervals: Mapping[str, Intervals] | None = None,
    thresholds: tuple[float, float] | None = None,
    ends: tuple[str, str] = ("", ""),
) -> Figure:
    """Draw loss, accuracy and every further measure against alpha, for every split; a panel each.

    On the test loss (or the only split's) the two minima and the alpha of the barrier are marked, as
    in Fig. 3; without a barrier the lowest point is. There bars show the intervals of the barrier in the
    basin, above the mean of the minima, and of the accuracy delta.

    Args:
        table: columns alpha, split, loss, accuracy (or average_precision), perhaps more measures: the content of
            `path.json`.
        title: over the figure.
        intervals: split -> field of `PathSummary` -> interval over samples; None: no bars.
        thresholds: barrier in basin (nats) and accuracy delta (a fraction) beyond which the path is broken.
        ends: what the networks at alpha 0 and 1 are, such as `seed 1 A`.
    """
    names = measures_in(table)
    with house_style():
        figure, axes = panels(len(names), title)
        styles = split_styles(table["split"])
        for split, rows in table.groupby("split", sort=False):
            rows = rows.sort_values("alpha")
            style: dict[str, Any] = {**styles[str(split)], "markersize": 3.5, "linewidth": 1.4}
            for panel, name in zip(axes, names, strict=True):
                panel.plot(rows["alpha"], MEASURES[name].factor * rows[name], **style)
        _mark_barrier(axes[0], axes[1], table)
        draw_verdict(axes[0], axes[1], table, intervals or {}, thresholds)
        for panel, name in zip(axes, names, strict=True):
            panel.set(xlabel=alpha_axis(ends), ylabel=MEASURES[name].axis_label)
        legend_below(figure, axes[0], columns=3)
    return figure


def _judged_rows(table: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """Return the split that is marked, the test data where there are some, and its points."""
    splits = list(dict.fromkeys(table["split"]))
    split = "test" if "test" in splits else splits[0]
    return split, table[table["split"] == split].sort_values("alpha")


def draw_verdict(
    loss_panel: Axes,
    accuracy_panel: Axes,
    table: pd.DataFrame,
    intervals: Mapping[str, Intervals],
    thresholds: tuple[float, float] | None,
) -> None:
    """Draw what decides on a path: intervals at the barrier, and the loss and the accuracy at which it is broken.

    Args:
        loss_panel: axes of the loss.
        accuracy_panel: axes of the accuracy in percent.
        table: as in `path_figure`.
        intervals: as in `path_figure`.
        thresholds: as in `path_figure`.
    """
    _draw_intervals(loss_panel, accuracy_panel, table, intervals)
    if thresholds is None:
        return
    _, rows = _judged_rows(table)
    losses, scores = (rows[name].to_numpy(dtype=float) for name in ("loss", score_in(table)))
    basin = barrier_in_basin(losses)
    if basin.left is None or basin.right is None:
        base = losses[basin.top]
    else:
        base = (losses[basin.left] + losses[basin.right]) / 2
    label = f"thresholds: barrier {thresholds[0]:g}, {in_words(score_in(table))} delta {100 * thresholds[1]:g} points"
    style: dict[str, Any] = {"color": "#b01e1e", "linestyle": (0, (1, 1)), "linewidth": 1.2}
    loss_panel.axhline(base + thresholds[0], label=label, **style)
    accuracy_panel.axhline(100 * ((scores[0] + scores[-1]) / 2 + thresholds[1]), **style)


def _mark_barrier(loss_panel: Axes, accuracy_panel: Axes, table: pd.DataFrame) -> None:
    split, rows = _judged_rows(table)
    alphas, losses, accuracies = (rows[name].to_numpy(dtype=float) for name in ("alpha", "loss", score_in(table)))
    basin = barrier_in_basin(losses)
    top: dict[str, Any] = {
        "color": "black",
        "linestyle": "none",
        "marker": "D",
        "markersize": 8,
        "markerfacecolor": "none",
        "zorder": 5,
    }
    if basin.left is None or basin.right is None:
        loss_panel.plot(alphas[basin.top], losses[basin.top], label=f"lowest {split} loss, no barrier", **top)
    else:
        minima = [basin.left, basin.right]
        loss_panel.plot(
            alphas[minima], losses[minima], "v", color="black", markersize=8, zorder=5, label="minima beside it"
        )
        loss_panel.plot(
            alphas[minima], [losses[minima].mean()] * 2, color="black", linewidth=1, linestyle="-.", label="their mean"
        )
        loss_panel.plot(
            alphas[basin.top], losses[basin.top], label=f"{split} barrier in basin {basin.height:.3g}", **top
        )
    accuracy_panel.plot(alphas[basin.top], 100 * accuracies[basin.top], **top)


def _draw_intervals(
    loss_panel: Axes, accuracy_panel: Axes, table: pd.DataFrame, intervals: Mapping[str, Intervals]
) -> None:
    split, rows = _judged_rows(table)
    alphas, losses, accuracies = (rows[name].to_numpy(dtype=float) for name in ("alpha", "loss", score_in(table)))
    basin = barrier_in_basin(losses)
    own = intervals.get(split, {})
    if basin.left is not None and basin.right is not None and "barrier_in_basin" in own:
        minima_mean = (losses[basin.left] + losses[basin.right]) / 2
        low, high = own["barrier_in_basin"].low, own["barrier_in_basin"].high
        _bar(loss_panel, alphas[basin.top], (minima_mean + low, minima_mean + high))
    if "accuracy_delta" in own:
        ends = (accuracies[0] + accuracies[-1]) / 2
        low, high = own["accuracy_delta"].low, own["accuracy_delta"].high
        _bar(accuracy_panel, alphas[basin.top], (100 * (ends + low), 100 * (ends + high)))


def _bar(panel: Axes, x: float, ends: tuple[float, float]) -> None:
    panel.plot(
        [x, x], ends, color="black", linewidth=1.6, marker="_", markersize=9, zorder=6, label="interval over images"
    )
    panel.axhspan(*ends, color="black", alpha=0.08, linewidth=0)


def polar_figure(table: pd.DataFrame, title: str) -> Figure:
    """Draw loss, accuracy and Manhattan distance (radius) against the angle between the start and the network at alpha.

    Args:
        table: columns alpha, split, loss, accuracy (or average_precision), angle_deg, manhattan.
        title: over the figure.
    """
    splits = list(dict.fromkeys(table["split"]))
    split = "test" if "test" in splits else splits[0]
    score = score_in(table)
    rows = table[table["split"] == split].sort_values("alpha")
    angles = np.deg2rad(rows["angle_deg"].to_numpy(dtype=float))
    widest = float(np.degrees(np.nanmax(angles))) if np.isfinite(angles).any() else 0.0
    radii = {
        f"{split} loss": rows["loss"],
        f"{split} {in_words(score)} (%)": 100 * rows[score],
        "Manhattan distance from the start": rows["manhattan"],
    }
    with house_style():
        figure, polar_panels = panels(
            3,
            f"{title}\nangle: between the start and the network at alpha, in degrees",
            subplot_kw={"projection": "polar"},
        )
        for panel, (name, radius) in zip(polar_panels, radii.items(), strict=True):
            panel.plot(angles, radius, color="#1b4f8f", linewidth=1, zorder=2)
            points = panel.scatter(angles, radius, c=rows["alpha"], cmap="cividis", s=22, zorder=3)
            start = score_center(radius) if name.endswith("(%)") else 0.0
            polar_frame(panel, f"radius: {name}, centre: {start:g}", widest)
            panel.set_rlim(start, rim(start, radius))  # type: ignore[attr-defined]
        figure.get_layout_engine().set(rect=(0, 0.08, 1, 0.92))  # type: ignore[union-attr,call-arg]
        figure.colorbar(points, ax=polar_panels, label="alpha (0: start, 1: end)", shrink=0.7)
    return figure
