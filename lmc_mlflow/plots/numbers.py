"""Writes how many seeds a point stands for: in the label of its line, and under its bar."""

from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from lmc_mlflow.findings.conditions import counted


def num_per_point(counts: Iterable[int]) -> str:
    """Write the number of seeds behind every point of a line: `n = 2 to 5 seeds per point`."""
    smallest, largest = int(min(counts)), int(max(counts))
    return f"n = {counted(largest, 'seed') if smallest == largest else f'{smallest} to {largest} seeds'} per point"


def draw_numbers(panel: Axes, places: Iterable[float], table: pd.DataFrame, color: Any, scale: float = 1) -> None:
    """Write the number of seeds under every bar, and make the marker of one seed alone hollow.

    Args:
        panel: to draw in.
        places: horizontal positions of the points.
        table: columns mean, deviation and n, one row a point.
        color: of the line.
        scale: factor on mean and deviation.
    """
    lows = scale * (table["mean"] - table["deviation"].fillna(0.0))
    for place, low, mean, number in zip(places, lows, scale * table["mean"], table["n"], strict=True):
        style: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": 7, "color": color}
        panel.annotate(f"{int(number)}", (place, low), (0, -4), textcoords="offset points", **style)
        if number == 1:
            panel.plot([place], [mean], "o", markersize=2.5, color="white", zorder=5)
