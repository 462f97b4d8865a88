"""Draws every path of a store at a glance: barrier and accuracy delta, a row for each condition."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.findings.overview import PathCondition
from lmc_mlflow.findings.thresholds import FLAT_BELOW, LOST_BELOW
from lmc_mlflow.plots.missing import PATHS, blank_figure
from lmc_mlflow.plots.score_labels import in_words, score_in
from lmc_mlflow.plots.style import TEXT_WIDTH, grid_of_panels, house_style, shared_legend

MOST_ROWS = 10
"""More conditions than this are not drawn; the table beside the figure has all of them."""
VERDICT_STYLES: dict[str, dict[str, Any]] = {
    "yes": {"color": "#1b4f8f", "marker": "o", "label": "connected"},
    "apparent": {"color": "#7b4fa3", "marker": "D", "label": "connected on test data only"},
    "no": {"color": "#c8641a", "marker": "X", "label": "not connected"},
}
LINEAR_UP_TO = 2.0
"""Above this highest barrier (nats) the axis is logarithmic from the threshold on."""
_TICKS = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
_WIDE, _NARROW = 4.6, 3.9


def overview(conditions: Sequence[PathCondition], narrow: bool = False) -> Figure:
    """Draw barrier in basin and accuracy delta of every path, labels above their rows, the connected side shaded.

    Args:
        conditions: from `findings.overview.path_conditions`; of more than `MOST_ROWS` those with the most seeds.
        narrow: panels below one another, for a phone.
    """
    title = "My paths on test data"
    if not conditions:
        return blank_figure(title, PATHS)
    most = sorted(range(len(conditions)), key=lambda place: (-conditions[place].num_seeds, place))[:MOST_ROWS]
    shown = [conditions[place] for place in sorted(most)]
    left_out = len(conditions) - len(shown)
    title += f"\nthe {len(shown)} of {len(conditions)} conditions with the most seeds" if left_out else ""
    width = _NARROW if narrow else _WIDE
    labels = [_label(one, width) for one in shown]
    lines = [1 + label.count("\n") for label in labels]
    places = np.cumsum([0.0, *(0.75 + 0.36 * num for num in lines[1:])])  # below a row stands the label of the next
    with house_style():
        height = 0.9 + 0.42 * (places[-1] + 1.2)
        down, across = (2, 1) if narrow else (1, 2)
        figure, grid = grid_of_panels(down, across, title, width, height, sharey=True)
        left, right = [panel for line in grid for panel in line]
        for place, one, label in zip(places, shown, labels, strict=True):
            for panel, value in ((left, "barrier"), (right, "delta")):
                _row(panel, one, place, value)
                if panel is left or narrow:
                    _write(panel, label, place)
        _finish(left, right, shown)
        left.set_ylim(places[-1] + 0.5, -0.35 - 0.36 * lines[0])
        for verdict in [name for name in VERDICT_STYLES if any(one.count(name) for one in shown)]:
            left.add_line(Line2D([], [], linestyle="none", markersize=6, **VERDICT_STYLES[verdict]))
        left.add_line(Line2D([], [], linestyle="none", marker="|", markersize=12, color="black", label="mean"))
        shared_legend(figure, [left])
    return figure


def _label(one: PathCondition, width: float) -> str:
    """Write the condition, what its paths join, and its verdict, in lines as wide as a panel."""
    text = f"{one.label}; {one.between} (n = {counted(one.num_seeds, 'seed')}): {one.connected_text}"
    return "\n".join(textwrap.wrap(text, int((width - 0.6) / (0.8 * TEXT_WIDTH))))


def _write(panel: Axes, label: str, place: float) -> None:
    panel.annotate(
        label, (0, place), (4, 7), xycoords=("axes fraction", "data"), textcoords="offset points",
        fontsize=8, va="bottom", linespacing=1.15, zorder=6,
        bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
    )  # fmt: skip


def _row(panel: Axes, one: PathCondition, place: float, value: str) -> None:
    for verdict, style in VERDICT_STYLES.items():
        values = one.paths.loc[one.paths["connected"] == verdict, value].dropna()
        look = {name: style[name] for name in ("color", "marker")}
        panel.plot(values, [place] * len(values), linestyle="none", markersize=6, alpha=0.65, **look)
    known = one.paths[value].dropna()
    if len(known):
        panel.plot([known.mean()], [place], "|", color="black", markersize=14, zorder=5)


def _finish(left: Axes, right: Axes, shown: Sequence[PathCondition]) -> None:
    """Name axes, scale them, and shade where a path counts as connected."""
    highest = max(float(one.paths["barrier"].max()) for one in shown)
    lowest = min([float(one.paths["delta"].min()) for one in shown if one.paths["delta"].notna().any()], default=0.0)
    top = max(1.08 * highest, 2.5 * FLAT_BELOW)
    left.set_xlim(-0.02 * top, top)
    if highest > LINEAR_UP_TO:
        left.set_xscale("symlog", linthresh=FLAT_BELOW)
        left.set_xlim(-0.2 * FLAT_BELOW, 1.3 * highest)
        left.xaxis.set_major_locator(FixedLocator(_TICKS))
        left.xaxis.set_minor_locator(NullLocator())
    else:
        left.xaxis.set_major_locator(MaxNLocator(5))
    left.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
    left.set_xlabel(f"barrier in basin (nats per sample); threshold {FLAT_BELOW:g}")
    best = max(float(one.paths["delta"].max()) for one in shown)
    right.set_xlim(min(1.1 * lowest, 1.6 * LOST_BELOW), max(2.0, 1.15 * best))
    score = in_words(score_in(pd.concat([one.paths for one in shown]), "test/{}_delta"))
    right.set_xlabel(f"{score} delta (percentage points); threshold {LOST_BELOW:g}")
    left.axvspan(left.get_xlim()[0], FLAT_BELOW, color="#1b4f8f", alpha=0.08, linewidth=0)
    right.axvspan(LOST_BELOW, right.get_xlim()[1], color="#1b4f8f", alpha=0.08, linewidth=0)
    left.axvline(FLAT_BELOW, color="black", linestyle="--", linewidth=0.8)
    right.axvline(LOST_BELOW, color="black", linestyle="--", linewidth=0.8)
    for panel in (left, right):
        panel.set_yticks([])
        panel.grid(axis="y", visible=False)
