"""Draws a diagnosis: the paths that were measured, and what each cause explains."""

import pandas as pd
from matplotlib.figure import Figure

from lmc_mlflow.plots.style import ALPHA_AXIS, LINES, MARKERS, house_style, legend_below, panels

COLORS = ("#1b4f8f", "#c8641a", "#5a9e3a", "#7b4fa3", "#8a6d1d")
EXPLAINED, LEFT = "0.55", "0.8"
"""Of bars: grey, so that no bar looks like one of the paths."""


def diagnosis_figure(curves: pd.DataFrame, findings: pd.DataFrame, title: str, what: str) -> Figure:
    """Draw the curves of the paths beside a bar for each cause.

    Args:
        curves: columns path, alpha, value.
        findings: columns cause, title, explained, low, high; none where nothing is explained.
        title: over the figure.
        what: the number that is explained, a field of `PathSummary`.
    """
    is_error = what == "error_barrier"
    factor, axis = (100, "error (%)") if is_error else (1, "loss (nats per sample)")
    with house_style():
        figure, axes = panels(2, title)
        for i, (label, rows) in enumerate(curves.groupby("path", sort=False)):
            axes[0].plot(
                rows["alpha"],
                factor * rows["value"],
                color=COLORS[i % len(COLORS)],
                linestyle=LINES[i % len(LINES)],
                marker=MARKERS[i % len(MARKERS)],
                markersize=4,
                label=str(label),
            )
        axes[0].set(xlabel=ALPHA_AXIS, ylabel=axis)
        axes[0].set_ylim(bottom=0)
        _bars(axes[1], findings, factor, "percentage points" if is_error else "nats")
        legend_below(figure, axes[0], columns=2)
    return figure


def _bars(panel: object, findings: pd.DataFrame, factor: int, unit: str) -> None:
    from matplotlib.axes import Axes

    assert isinstance(panel, Axes)
    panel.set(xlabel=f"explains ({unit})")
    if not len(findings):
        panel.text(0.5, 0.5, "no cause was found", ha="center", va="center", transform=panel.transAxes)
        panel.set_yticks([])
        return
    rows = findings.iloc[::-1]
    colors = [LEFT if cause == "another_basin" else EXPLAINED for cause in rows["cause"]]
    values = factor * rows["explained"]
    panel.barh(rows["title"], values, color=colors, height=0.6)
    known = rows["low"].notna()
    spread = [factor * (rows["explained"] - rows["low"])[known], factor * (rows["high"] - rows["explained"])[known]]
    panel.errorbar(
        values[known],
        rows["title"][known],
        xerr=[own.clip(lower=0) for own in spread],
        fmt="none",
        ecolor="0.2",
        capsize=3,
    )
