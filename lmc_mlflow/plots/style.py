"""The style of all figures, readable in grey.

Seaborn is imported where something is drawn: it imports all of scipy.stats, and a command that refuses a flag should
not wait for that.
"""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

SPLIT_STYLES: dict[str, dict[str, Any]] = {
    "test": {"color": "#1b4f8f", "linestyle": "-", "marker": "o"},
    "train_a": {"color": "#c8641a", "linestyle": "--", "marker": "s"},
    "train_b": {"color": "#5a9e3a", "linestyle": ":", "marker": "^"},
    "unseen": {"color": "#7b4fa3", "linestyle": "-.", "marker": "D"},
}
SPLIT_LABELS = {"test": "test", "train_a": "training side A", "train_b": "training side B", "unseen": "unseen"}
SIDE_STYLES: dict[str, dict[str, Any]] = {
    "A": {"color": "#c8641a", "linestyle": "-"},
    "B": {"color": "#5a9e3a", "linestyle": "--"},
}
LINES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h")
TEXT_HEIGHT = 0.2
"""Of a line of text, in inches."""
TEXT_WIDTH = 0.085
"""Of a character, in inches."""
FEW_ROWS = 12
"""More rows than this are drawn closer to each other."""


class ShownFigure(Figure):
    """A figure that a notebook shows by itself, although pyplot does not know it."""

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        return png_bytes(self), {"alt": self.get_suptitle()}


def png_bytes(figure: Figure, dpi: int = 100) -> bytes:
    """Write the figure as the bytes of a PNG file."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def svg_bytes(figure: Figure) -> bytes:
    """Write the figure as the bytes of an SVG file, the same for the same figure."""
    buffer = BytesIO()
    with rc_context({"svg.hashsalt": "lmc_mlflow", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


@contextmanager
def house_style() -> Iterator[None]:
    """Set the project's style within a block."""
    import seaborn as sns

    with (
        sns.axes_style("whitegrid", {"grid.color": "0.9", "axes.edgecolor": "0.4"}),
        sns.plotting_context("notebook", font_scale=0.85),
    ):
        yield


def panels(
    columns: int, title: str, width: float = 4.6, height: float = 3.8, **options: Any
) -> tuple[Figure, list[Axes]]:
    """Make a figure with a row of panels and a title; without pyplot, so that no global state is left."""
    figure, rows = grid_of_panels(1, columns, title, width, height, **options)
    return figure, rows[0]


def grid_of_panels(
    rows: int, columns: int, title: str, width: float = 4.6, height: float = 3.8, **options: Any
) -> tuple[Figure, list[list[Axes]]]:
    """Make a figure with rows of panels; width and height are those of one panel in inches."""
    lines = [part for line in title.split("\n") for part in textwrap.wrap(line, int(13 * width * columns))]
    size = (width * columns, height * rows + TEXT_HEIGHT * (len(lines) - 1))
    figure = ShownFigure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    figure.suptitle("\n".join(lines), fontsize="medium")
    return figure, [list(row) for row in axes]


def rows_of_labels(labels: Sequence[str], panels_wide: int, title: str, width: float) -> tuple[Figure, list[Axes]]:
    """Make panels beside each other that share one row for each label, the first row on top.

    Args:
        labels: of the rows, written left of the first panel.
        panels_wide: how many panels.
        title: over the figure.
        width: of a panel, in inches; the labels need further room.
    """
    across = width + TEXT_WIDTH * max(map(len, labels)) / panels_wide
    height = 1.4 + (0.45 if len(labels) <= FEW_ROWS else 0.3) * len(labels)
    figure, (axes,) = grid_of_panels(1, panels_wide, title, across, height, sharey=True)
    axes[0].set_yticks(range(len(labels)), list(labels))
    axes[0].set_ylim(len(labels) - 0.4, -0.6)
    return figure, axes


def group_style(number: int) -> dict[str, Any]:
    """Choose colour, line and marker of a group: the first 12 differ in marker, the first 60 in marker or line."""
    import seaborn as sns

    colors = sns.color_palette("colorblind", 8)
    return {
        "color": colors[number % len(colors)],
        "linestyle": LINES[number % len(LINES)],
        "marker": MARKERS[number % len(MARKERS)],
    }


def legend_below(figure: Figure, panel: Axes, columns: int) -> None:
    """Add one legend for the whole figure, below it, where it never covers data."""
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize="small", frameon=False)


def shared_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """Add one legend for all panels below them: each label once, in as many columns as fit."""
    entries: dict[str, Any] = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not entries:
        return
    characters = int(figure.get_figwidth() * 12.5)
    columns = max(1, min(len(entries), 4, characters // (max(map(len, entries)) + 8)))
    figure.set_figheight(figure.get_figheight() + TEXT_HEIGHT * -(-len(entries) // columns))
    figure.legend(
        list(entries.values()),
        list(entries),
        loc="outside lower center",
        ncols=columns,
        fontsize="small",
        frameon=False,
        handlelength=3.5,
    )


def log_scale(panel: Axes, values: Iterable[float]) -> None:
    """Make the vertical axis logarithmic, with plain numbers, where all values are positive."""
    known = list(values)
    if known and min(known) > 0:
        panel.set_yscale("log")
        plain = FuncFormatter(lambda value, _: f"{value:g}")
        panel.yaxis.set_major_formatter(plain)
        low, high = panel.get_ylim()
        panel.yaxis.set_minor_locator(LogLocator(subs=range(2, 10) if high < 5 * low else (2, 5)))
        panel.yaxis.set_minor_formatter(plain if high < 100 * low else NullFormatter())
