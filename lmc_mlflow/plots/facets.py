"""Splits runs into panels, one for each condition but for model, batch size and rate, which the points show."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.findings.conditions import CONDITIONS, counted, describe_all, distinguishing, per_seed
from lmc_mlflow.plots.encoding import Encoding
from lmc_mlflow.plots.groups import mixed, with_sides
from lmc_mlflow.plots.style import grid_of_panels

POINT = ("model", "batch_size", "lr")
"""Settings that a point shows itself; the first are the first to get panels where there are too many."""
MOST_ENTRIES = 8
"""Of a legend: further ones would use a colour again."""
PANELS_ACROSS, MOST_PANELS = 3, 12
TITLE_WIDTH = 52
"""Characters of a line of a panel's title."""
NO_BREAK = "\u00a0"


@dataclass(frozen=True)
class Facet:
    """The rows of one panel.

    Attributes:
        title: the settings in which the panel differs from the others, and how many seeds a point stands for.
        rows: of the panel; they differ in nothing but `point` and their seeds, unless the title says so.
        point: settings that a point shows itself, those of `POINT` that the legend has room for.
    """

    title: str
    rows: pd.DataFrame
    point: tuple[str, ...] = POINT

    def conditions(self) -> Iterator[pd.DataFrame]:
        """Yield the rows of each condition of the panel."""
        for _, rows in self.rows.groupby(list(POINT), dropna=False, sort=True):
            yield rows


def point_settings(rows: pd.DataFrame, reserved: int = 0) -> tuple[str, ...]:
    """Choose the settings that points show: all of `POINT`, or fewer where the legend would get too many entries.

    Args:
        rows: of the whole figure.
        reserved: entries that the legend has besides.
    """
    for first in range(len(POINT)):
        colors = [name for name in POINT[first:] if name != "model" and name in rows]
        entries = rows["model"].nunique() if first == 0 else 0
        entries += len(rows[colors].drop_duplicates()) if colors else 0
        if entries + reserved <= MOST_ENTRIES:
            return POINT[first:]
    return ()


def facets_of(
    frame: pd.DataFrame, by: Sequence[str] | None = None, point: tuple[str, ...] = POINT
) -> tuple[list[Facet], str]:
    """Split a table into panels.

    Args:
        frame: a table of `query`.
        by: columns that make a panel; None: every setting besides `point` in which the rows differ.
        point: settings that points show.

    Returns:
        The panels, and a note for the title where there are more than can be told apart.
    """
    frame = with_sides(frame)
    candidates = [name for name in CONDITIONS if name not in point]
    names = distinguishing(frame, candidates) if by is None else list(by)
    parts = list(frame.groupby(names, dropna=False, sort=True)) if names else [((), frame)]
    facets = []
    for key, rows in parts:
        settings = [*describe_all(names, key), *mixed(rows, candidates, point)]
        lines = [*title_lines(settings), num_per_condition(rows)]
        facets.append(Facet("\n".join(lines), rows, point))
    more = len(facets) > MOST_PANELS
    note = f"\nthe first {MOST_PANELS} of {len(facets)} panels; the others are not drawn" if more else ""
    return facets[:MOST_PANELS], note


def encoding_of(rows: pd.DataFrame, point: Sequence[str]) -> Encoding:
    """Choose marker and colour for the settings that points show.

    Args:
        rows: of the whole figure.
        point: from `point_settings`.
    """
    return Encoding(rows, [name for name in POINT[1:] if name in point], models="model" in point)


def title_lines(settings: Sequence[str], width: int = TITLE_WIDTH) -> list[str]:
    """Join settings to lines of a title, of at most `width` characters; no setting is broken."""
    whole = ", ".join(setting.replace(" ", NO_BREAK) for setting in settings)
    return [line.replace(NO_BREAK, " ") for line in textwrap.wrap(whole, width)]


def num_per_condition(rows: pd.DataFrame, names: Sequence[str] = POINT) -> str:
    """Write how many seeds each condition has.

    Args:
        rows: of several conditions.
        names: the settings in which these differ.
    """
    counts = [len(per_seed(part.assign(one=1), "one")) for _, part in rows.groupby(list(names), dropna=False)]
    smallest, largest = min(counts), max(counts)
    return f"n = {counted(largest, 'seed') if smallest == largest else f'{smallest} to {largest} seeds'} a condition"


def facet_panels(facets: Sequence[Facet], title: str, labels: tuple[str, str]) -> tuple[Figure, list[Axes]]:
    """Make a panel with a title for each facet, all with the same axes.

    Args:
        facets: to be drawn.
        title: over the figure.
        labels: of the horizontal and the vertical axis.
    """
    across = min(PANELS_ACROSS, len(facets))
    down = -(-len(facets) // across)
    size: dict[str, Any] = {"width": 7.5 if across == 1 else 4.4, "height": 3.8, "sharex": True, "sharey": True}
    figure, grid = grid_of_panels(down, across, title, **size)
    panels = [panel for line in grid for panel in line]
    for place, panel in enumerate(panels):
        if place >= len(facets):
            panel.set_axis_off()
            continue
        panel.set_title(facets[place].title, fontsize="small")
        if place + across >= len(facets):  # nothing is drawn below it
            panel.set_xlabel(labels[0])
            panel.tick_params(labelbottom=True)
        if not place % across:
            panel.set_ylabel(labels[1])
    return figure, panels[: len(facets)]
