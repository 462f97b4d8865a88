"""The style of all figures, readable in grey.

Seaborn is imported where something is drawn: it imports all of scipy.stats, and a command that refuses a flag should
not wait for that.
"""

import math
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

SPLIT_STYLES: dict[str, dict[str, Any]] = {
    "test": {"color": "#1b4f8f", "linestyle": "-", "marker": "o"},
    "train_a": {"color": "#c8641a", "linestyle": "--", "marker": "s"},
    "train_b": {"color": "#5a9e3a", "linestyle": ":", "marker": "^"},
    "unseen": {"color": "#7b4fa3", "linestyle": "-.", "marker": "D"},
}
SPLIT_LABELS = {"test": "test", "train_a": "training side A", "train_b": "training side B", "unseen": "unseen"}
ALPHA_AXIS = "alpha (0: start of the path, 1: its end)"
"""A and B are sides; a path has a start and an end."""
SIDE_STYLES: dict[str, dict[str, Any]] = {
    "A": {"color": "#c8641a", "linestyle": "-"},
    "B": {"color": "#5a9e3a", "linestyle": "--"},
}
LINES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h")
NARROWEST = 5.6
"""Width of a figure in inches, at the least: room for its title."""
TEXT_HEIGHT = 0.2
"""Of a line of text, in inches."""
TEXT_WIDTH = 0.085
"""Of a character, in inches."""
FEWEST_TICKS, MOST_TICKS = 3, 7
"""Of a logarithmic axis."""
FEW_ROWS = 12
"""More rows than this are drawn closer to each other."""


class ShownFigure(Figure):
    """A figure that a notebook shows by itself, although pyplot does not know it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        FigureCanvasAgg(self)  # without it, whoever asks how large a text is makes a new image of the whole figure

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        return png_bytes(self), {"alt": self.get_suptitle()}


def png_bytes(figure: Figure, dpi: int = 100) -> bytes:
    """Write the figure as the bytes of a PNG file."""
    buffer = BytesIO()
    with boxes_for_unknown_glyphs():
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def svg_bytes(figure: Figure) -> bytes:
    """Write the figure as the bytes of an SVG file, the same for the same figure."""
    buffer = BytesIO()
    with boxes_for_unknown_glyphs(), rc_context({"svg.hashsalt": "lmc_mlflow", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


@contextmanager
def house_style() -> Iterator[None]:
    """Set the project's style within a block."""
    import seaborn as sns

    with (
        sns.axes_style("whitegrid", {"grid.color": "0.9", "axes.edgecolor": "0.4"}),
        sns.plotting_context("notebook", font_scale=0.85),
        boxes_for_unknown_glyphs(),
    ):
        yield


@contextmanager
def boxes_for_unknown_glyphs() -> Iterator[None]:
    """Draw a box for a glyph that the font lacks (a class named in Chinese), without a warning for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
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
    """Make a figure with rows of panels; width and height are those of one panel in inches, at the least."""
    across = max(width * columns, NARROWEST)
    lines = [part for line in title.split("\n") for part in textwrap.wrap(line, int(13 * across))]
    size = (across, height * rows + TEXT_HEIGHT * (len(lines) - 1))
    figure = ShownFigure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    figure.suptitle("\n".join(lines), fontsize="medium")
    return figure, [list(row) for row in axes]


def rows_of_labels(
    labels: Sequence[str], panels_wide: int, title: str, width: float, points: int = 4
) -> tuple[Figure, list[Axes]]:
    """Make panels beside each other that share one row for each label, the first row on top.

    Args:
        labels: of the rows, written left of the first panel.
        panels_wide: how many panels.
        title: over the figure.
        width: of a panel, in inches; the labels need further room.
        points: how many points a row has, one below the other.
    """
    across = width + TEXT_WIDTH * max(map(len, labels)) / panels_wide
    height = 1.4 + max(0.45 if len(labels) <= FEW_ROWS else 0.3, 0.1 * (points - 1)) * len(labels)
    figure, (axes,) = grid_of_panels(1, panels_wide, title, across, height, sharey=True)
    axes[0].set_yticks(range(len(labels)), list(labels))
    axes[0].set_ylim(len(labels) - 0.4, -0.6)
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(w_pad=0.12)  # type: ignore[call-arg]  # so that the outer ticks of neighbours do not touch
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
    """Add one legend for the whole figure, below it, where it never covers data; in as many columns as fit."""
    handles, labels = panel.get_legend_handles_labels()
    _fitting_legend(figure, dict(zip(labels, handles, strict=True)), columns, None)


def shared_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """Add one legend for all panels below them: each label once, in as many columns as fit."""
    entries: dict[str, Any] = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        _fitting_legend(figure, entries, 4, 3.5)


def _fitting_legend(figure: Figure, entries: dict[str, Any], columns: int, handle_length: float | None) -> None:
    """Draw a legend with the most columns that fit in the figure; labels that are wider than it are broken."""
    widest, renderer = 0.96 * figure.bbox.width, FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    handles, labels = list(entries.values()), list(entries)
    options: dict[str, Any] = {"fontsize": "small", "frameon": False, "handlelength": handle_length}
    options["loc"] = "outside lower center"
    for number in range(min(columns, len(entries)), 0, -1):
        legend = figure.legend(handles, labels, ncols=number, **options)
        width = legend.get_window_extent(renderer).width
        if width <= widest:
            break
        legend.remove()
    else:
        room = int(max(map(len, labels)) * 0.9 * widest / width)
        legend = figure.legend(handles, [textwrap.fill(label, room) for label in labels], ncols=1, **options)
    extra = legend.get_window_extent(renderer).height / figure.dpi
    figure.set_figheight(figure.get_figheight() + max(0.0, extra - TEXT_HEIGHT))


def log_scale(panel: Axes, values: Iterable[float]) -> None:
    """Make the vertical axis logarithmic, with plain numbers, where all values are positive."""
    known = [value for value in values if math.isfinite(value)]
    if known and min(known) > 0:
        panel.set_yscale("log")
        readable_log(panel.yaxis, *panel.get_ylim())


def readable_log(axis: Axis, low: float, high: float) -> None:
    """Give a logarithmic axis three to seven ticks with plain numbers, however short it is.

    Args:
        axis: whose ticks.
        low: its lowest value.
        high: its highest value.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        places = [place for e in decades for d in digits if low <= (place := d * 10.0**e) <= high]
        if len(places) >= FEWEST_TICKS:
            break
    else:
        places = [place for place in MaxNLocator(4).tick_values(low, high) if low <= place <= high]
    axis.set_major_locator(FixedLocator(places[:: -(-len(places) // MOST_TICKS)]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_locator(NullLocator())


def polar_frame(panel: Axes, title: str, widest: float) -> None:
    """Frame a polar panel, the same in all figures: a quarter of a circle, a little more, or half of one.

    Networks of independent initializations are some tenths of a degree above or below 90.

    Args:
        panel: in polar projection.
        title: over it.
        widest: largest angle of the figure, in degrees.
    """
    end, step = next((end, step) for end, step in ((90, 15), (105, 15), (180, 30)) if widest <= end or end == 180)
    panel.set_thetalim(0, math.radians(end))  # type: ignore[attr-defined]
    panel.set_thetagrids(range(0, end + 1, step))  # type: ignore[attr-defined]
    panel.set_title(title, fontsize="small", pad=6 if end == 90 else 14)  # the label 90 stands below it
    panel.yaxis.set_major_locator(MaxNLocator(3))
    panel.tick_params(labelsize="small")


def score_center(scores: Iterable[float]) -> float:
    """Choose the score (%) at the centre of a polar panel, so that a path is no arc at its rim: a multiple of 5."""
    known = [value for value in scores if math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    return max(0.0, 5 * math.floor((low - max(1.0, 0.5 * (high - low))) / 5))


def rim(center: float, values: Iterable[float]) -> float:
    """Choose the radius at the rim of a polar panel: a little beyond the largest finite value."""
    largest = max((value for value in values if math.isfinite(value)), default=center)
    return center + 1.06 * ((largest - center) or 1.0)


def alpha_axis(ends: tuple[str, str]) -> str:
    """Name the axis of alpha; with what the start and the end of the path are, where they are given."""
    start, end = (f" ({name})" if name else "" for name in ends)
    return f"alpha (0: start{start}, 1: end{end})" if start else ALPHA_AXIS
