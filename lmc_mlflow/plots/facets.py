"""Splits runs into panels, one for each condition but for model, batch size and rate, which the points show."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from lmc_mlflow.findings.conditions import CONDITIONS, counted, describe, distinguishing, per_seed
from lmc_mlflow.models.names import in_natural_order
from lmc_mlflow.plots.groups import MOST, with_sides
from lmc_mlflow.plots.style import MARKERS, group_style

POINT = ("model", "batch_size", "lr")
"""Settings that the marker (model) and the colour (batch size and rate) of a point show."""


@dataclass(frozen=True)
class Facet:
    """The rows of one panel.

    Attributes:
        title: the settings in which the panel differs from the others, and how many seeds a point stands for.
        rows: of the panel; they differ in nothing but `POINT` and their seeds, unless the title says so.
    """

    title: str
    rows: pd.DataFrame

    def points(self) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
        """Yield each condition of the panel: its values of `POINT`, and its rows."""
        yield from self.rows.groupby(list(POINT), dropna=False, sort=True)


def facets_of(
    frame: pd.DataFrame, by: Sequence[str] | None = None, leave_out: Sequence[str] = ()
) -> tuple[list[Facet], str]:
    """Split a table into panels.

    Args:
        frame: a table of `query`.
        by: columns that make a panel; None: every setting besides `POINT` in which the rows differ.
        leave_out: settings that make none.

    Returns:
        The panels, and a note for the title where there are more than can be told apart.
    """
    frame = with_sides(frame)
    candidates = [name for name in CONDITIONS if name not in (*POINT, *leave_out)]
    names = distinguishing(frame, candidates) if by is None else list(by)
    parts = list(frame.groupby(names, dropna=False, sort=True)) if names else [((), frame)]
    facets = [
        Facet("\n".join(filter(None, [_title(names, key), _mixed(rows, candidates), _seeds(rows)])), rows)
        for key, rows in parts
    ]
    note = f"\nthe first {MOST} of {len(facets)} panels; select rows to see others" if len(facets) > MOST else ""
    return facets[:MOST], note


def _title(names: Sequence[str], key: tuple[Any, ...]) -> str:
    return ", ".join(filter(None, map(describe, names, key)))


def _mixed(rows: pd.DataFrame, candidates: Sequence[str]) -> str:
    """Name the settings in which rows of one condition of a panel differ; empty where there are none."""
    found = distinguishing(rows, candidates, given=[name for name in POINT if name in rows])
    return f"several: {', '.join(found)}" if found else ""


def _seeds(rows: pd.DataFrame) -> str:
    counts = [len(per_seed(part.assign(one=1), "one")) for _, part in rows.groupby(list(POINT), dropna=False)]
    smallest, largest = min(counts), max(counts)
    between = counted(largest, "seed") if smallest == largest else f"{smallest} to {largest} seeds"
    return f"n = {between} a condition"


class PointStyles:
    """Marker of each model, and colour of each pair of batch size and rate, over all panels of a figure."""

    def __init__(self, frame: pd.DataFrame) -> None:
        models = in_natural_order(list(frame["model"].astype(str)))
        pairs = sorted(set(zip(frame["batch_size"], frame["lr"], strict=True)))
        self._markers = {model: MARKERS[i % len(MARKERS)] for i, model in enumerate(models)}
        self._colors = {pair: group_style(i)["color"] for i, pair in enumerate(pairs)}

    def of(self, point: tuple[Any, ...]) -> dict[str, Any]:
        """Give marker and colour of a condition."""
        model, batch_size, lr = point
        return {"marker": self._markers[str(model)], "color": self._colors[batch_size, lr]}

    def add_entries(self, panel: Axes) -> None:
        """Add the legend's entries to a panel: first the models, then batch sizes with rates."""
        for model, marker in self._markers.items():
            panel.add_line(Line2D([], [], color="0.3", marker=marker, linestyle="none", label=model))
        for (batch_size, lr), color in self._colors.items():
            label = f"batch_size {batch_size:g}, lr {lr:g}"
            panel.add_line(Line2D([], [], color=color, marker="o", linestyle="none", label=label))
