"""How do all figures look? One style, readable in grey."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SPLIT_STYLES: dict[str, dict[str, Any]] = {
    "test": {"color": "#1b4f8f", "linestyle": "-", "marker": "o"},
    "train_a": {"color": "#c8641a", "linestyle": "--", "marker": "s"},
    "train_b": {"color": "#5a9e3a", "linestyle": ":", "marker": "^"},
}
SPLIT_LABELS = {"test": "test", "train_a": "training side A", "train_b": "training side B"}
SIDE_STYLES: dict[str, dict[str, Any]] = {
    "A": {"color": "#c8641a", "linestyle": "-"},
    "B": {"color": "#5a9e3a", "linestyle": "--"},
}


@contextmanager
def house_style() -> Iterator[None]:
    """Within the block figures are drawn in the project's style."""
    with (
        sns.axes_style("whitegrid", {"grid.color": "0.9", "axes.edgecolor": "0.4"}),
        sns.plotting_context("notebook", font_scale=0.85),
    ):
        yield


def panels(
    columns: int, title: str, width: float = 4.6, height: float = 3.8, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure with a row of panels and a title; made without pyplot, so that nothing global remains."""
    figure = Figure(figsize=(width * columns, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, **options)
    figure.suptitle(title, fontsize="medium")
    return figure, list(axes[0])


def legend_below(figure: Figure, panel: Axes, columns: int) -> None:
    """One legend for the whole figure, below it: it can never cover data."""
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize="small", frameon=False)
