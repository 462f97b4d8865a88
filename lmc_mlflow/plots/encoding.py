"""Chooses how points and lines show settings: the marker the model, the colour some settings, the line the others."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from lmc_mlflow.findings.conditions import describe_all
from lmc_mlflow.models.names import in_natural_order
from lmc_mlflow.plots.style import LINES, MARKERS, group_style

GREY = "0.3"


class Encoding:
    """Marker, colour and line of every condition, the same in all panels of a figure."""

    def __init__(
        self, frame: pd.DataFrame, colors: Sequence[str], lines: Sequence[str] = (), start: int = 0, models: bool = True
    ) -> None:
        """Choose them for all rows of a table.

        Args:
            frame: columns model, `colors` and `lines`.
            colors: settings that the colour shows together; none: all have one colour.
            lines: settings that the line shows together; none: there are no lines.
            models: whether markers tell the models apart; False: panels do.
            start: number of the first colour and line, where those before are used by another encoding.
        """
        self._names = {"color": tuple(colors), "linestyle": tuple(lines)}
        names = in_natural_order(list(frame["model"].astype(str)))
        self._markers = {model: MARKERS[i % len(MARKERS) if models else 0] for i, model in enumerate(names)}
        self._shows_models = models
        self._colors = {key: group_style(i)["color"] for i, key in enumerate(_keys(frame, colors) or [()], start)}
        self._lines = {key: LINES[i % len(LINES)] for i, key in enumerate(_keys(frame, lines), start)}

    @property
    def num_colors(self) -> int:
        """Return how many colours it has."""
        return len(self._colors)

    def of(self, rows: pd.DataFrame) -> dict[str, Any]:
        """Give the style of a condition.

        Args:
            rows: of one condition.
        """
        first = rows.iloc[0]
        color, line = (tuple(first[name] for name in self._names[what]) for what in ("color", "linestyle"))
        return {
            "marker": self._markers[str(first["model"])],
            "color": self._colors[color],
            "linestyle": self._lines[line] if line else "none",
        }

    def add_entries(self, panel: Axes) -> None:
        """Add the entries of the legend to a panel: models, then colours, then lines where they differ."""
        for model, marker in self._markers.items() if self._shows_models else ():
            panel.add_line(Line2D([], [], color=GREY, marker=marker, linestyle="none", label=model))
        together = self._names["color"] == self._names["linestyle"]
        for key, color in self._colors.items() if self._names["color"] else ():
            style: dict[str, Any] = {"linestyle": "none", "marker": "o"}
            if self._lines:
                style = {"linestyle": self._lines[key] if together else "-", "linewidth": 2.5}
            panel.add_line(Line2D([], [], color=color, label=_label(self._names["color"], key), **style))
        if not together and len(self._lines) > 1:
            for key, line in self._lines.items():
                label = _label(self._names["linestyle"], key)
                panel.add_line(Line2D([], [], color=GREY, linestyle=line, label=label))


def _keys(frame: pd.DataFrame, names: Sequence[str]) -> list[tuple[Any, ...]]:
    found = set(frame[list(names)].itertuples(index=False, name=None)) if names else set()
    return sorted(
        found,
        key=lambda key: [(isinstance(value, str), str(value) if isinstance(value, str) else value) for value in key],
    )


def _label(names: Sequence[str], key: tuple[Any, ...]) -> str:
    return ", ".join(describe_all(names, key))
