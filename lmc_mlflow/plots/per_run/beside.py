"""Draws paths between the same two networks in one figure: aligned or not, a curve and the segment."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.paths.intervals import Intervals
from lmc_mlflow.paths.measures import MEASURES
from lmc_mlflow.plots.per_run.paths import draw_verdict
from lmc_mlflow.plots.score_labels import measures_in
from lmc_mlflow.plots.style import SPLIT_LABELS, alpha_axis, house_style, panels, shared_legend

STRAIGHT_STYLE: dict[str, Any] = {"color": "#c8641a", "linestyle": "--", "marker": "s", "markerfacecolor": "white"}
CURVE_STYLE: dict[str, Any] = {"color": "#1b4f8f", "linestyle": "-", "marker": "o"}


def curve_figure(
    curve: pd.DataFrame,
    straight: pd.DataFrame,
    title: str,
    form: str = "bezier",
    ends: tuple[str, str] = ("", ""),
    intervals: Mapping[str, Intervals] | None = None,
    thresholds: tuple[float, float] | None = None,
) -> Figure:
    """Draw loss and accuracy of a curve and of the segment between its ends (Garipov et al., 2018, Fig. 2).

    The horizontal axis is the parameter of both, 0 at A and 1 at B. Intervals and thresholds are those of the curve.

    Args:
        curve: columns alpha, split, loss, accuracy (or average_precision): the content of `path.json`.
        straight: the content of `path_straight.json`.
        title: over the figure.
        form: of the curve, `bezier` or `polygon`.
        ends: what the networks at alpha 0 and 1 are, such as `seed 1 A`.
        intervals: split -> field of `PathSummary` -> interval over samples; None: no bars.
        thresholds: barrier in basin (nats) and accuracy delta (a fraction) beyond which the path is broken.
    """
    paths = [("segment", STRAIGHT_STYLE, straight), (f"{form} curve", CURVE_STYLE, curve)]
    return figure_of_paths(paths, title, ends, intervals, thresholds)


def figure_of_paths(
    paths: Sequence[tuple[str, dict[str, Any], pd.DataFrame]],
    title: str,
    ends: tuple[str, str] = ("", ""),
    intervals: Mapping[str, Intervals] | None = None,
    thresholds: tuple[float, float] | None = None,
) -> Figure:
    """Draw every measure of several paths against alpha; training sides in thin lines.

    Args:
        paths: label, style and points of each; the last one is judged.
        title: over the figure.
        ends: as in `curve_figure`.
        intervals: of the last path, as in `curve_figure`.
        thresholds: as in `curve_figure`.
    """
    judged = paths[-1][2]
    names = measures_in(judged)
    splits = [str(split) for split in dict.fromkeys(judged["split"])]
    with house_style():
        figure, axes = panels(len(names), title)
        for label, style, table in paths:
            for split in splits:
                rows = table[table["split"] == split].sort_values("alpha")
                line = _line_style(label, style, split, splits[0])
                for panel, name in zip(axes, names, strict=True):
                    panel.plot(rows["alpha"], MEASURES[name].factor * rows[name], **line)
        draw_verdict(axes[0], axes[1], judged, intervals or {}, thresholds)
        name_axes(axes, names, ends)
        shared_legend(figure, axes[:1])
    return figure


def _line_style(label: str, style: dict[str, Any], split: str, first: str) -> dict[str, Any]:
    """The first split (test) in full, training sides thin and without markers."""
    label = f"{label}, {SPLIT_LABELS.get(split, split)}"
    if split == first:
        return {**style, "label": label, "markersize": 4, "linewidth": 1.6}
    dashes: Any = {"train_a": (0, (1, 1)), "train_b": (0, (4, 1, 1, 1))}.get(split, "-")
    return {"color": style["color"], "label": label, "linewidth": 1.0, "linestyle": dashes}


def name_axes(axes: list[Axes], names: list[str], ends: tuple[str, str] = ("", "")) -> None:
    """Name the axes of panels of measures against alpha.

    Args:
        axes: a panel each.
        names: of the measures.
        ends: as in `curve_figure`.
    """
    for panel, name in zip(axes, names, strict=True):
        panel.set(xlabel=alpha_axis(ends), ylabel=MEASURES[name].axis_label)
