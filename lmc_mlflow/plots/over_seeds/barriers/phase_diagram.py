"""Draws phase diagrams: the share of connected seeds over two settings that are numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.tri import Triangulation
from numpy.typing import NDArray

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.findings.axes import SHIFT, Axis, axis_of, kind_and_number, value_at
from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.findings.phase import phase_axes, phase_table
from lmc_mlflow.findings.verdicts import UNDECIDED
from lmc_mlflow.plots.missing import blank_figure
from lmc_mlflow.plots.style import grid_of_panels, house_style

NEEDED = f"No pairs that differ in a number alone in the store yet: {RUN} sweep -P grid=phase_diagram"
COLORS = colormaps["cividis"]
"""From dark to light, in grey too."""
LABELS = {"lr": "learning rate", "batch_size": "batch size", SHIFT: "shift"}
GRID_CELL, ADDED_CELL = "s", "D"
HALF = 0.5
MOST_PANELS, ACROSS = 9, 3
RASTER = 120
"""Points a side at which the ground is coloured as the nearest cell is."""
MARGIN = 0.09
"""Of a panel beyond its outermost cells, as a share of what they span."""


def phase_diagram(paths: pd.DataFrame, x: str | None = None, y: str | None = None) -> Figure:
    """Draw the share of connected seeds as colour over two settings, a panel for each combination of the others.

    A square is a cell of a grid, a diamond one that `sweep refine=` has added, with its number of connected seeds and
    of all. The ground has the colour of the nearest cell. The line is the 50 % contour between cells. A cell whose
    verdict is undecided has a dotted edge.

    Args:
        paths: from `query.paths`; those within pairs are drawn.
        x: setting of the horizontal axis; None: the first along which paths have neighbours (rate, batch size, number
            of the shift, ...).
        y: setting of the vertical axis; None: the next; where there is none the cells stand in a row.

    Raises:
        ValueError: no such axis.
    """
    title = "Share of connected seeds (verdict yes)"
    names = _names(paths, x, y)
    table = phase_table(paths, *(names or ("lr", "")))
    if names is None or table.empty:
        return blank_figure(title, NEEDED)
    parts = [part for _, part in table.groupby("panel", sort=False)]
    note = f"; the first {MOST_PANELS} of {len(parts)} panels" if len(parts) > MOST_PANELS else ""
    parts = parts[:MOST_PANELS]
    across = min(ACROSS, len(parts))
    size: dict[str, Any] = {"width": 4.4 if len(parts) > 1 else 6.4, "height": 3.6 if names[1] else 2.4}
    with house_style():
        heading = f"{title}; {_num_text(table)}{note}"
        figure, grid = grid_of_panels(-(-len(parts) // across), across, heading, **size)
        panels = [panel for line in grid for panel in line]
        for panel, part in zip(panels, parts, strict=False):
            _draw(panel, part, names)
        for panel in panels[len(parts) :]:
            panel.set_axis_off()
        colors = ScalarMappable(Normalize(0, 1), COLORS)
        bar = figure.colorbar(colors, ax=panels, label="connected seeds", shrink=0.9)
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
        _legend(figure, table)
    return figure


def _names(paths: pd.DataFrame, x: str | None, y: str | None) -> tuple[str, str] | None:
    """Choose the axes that are not given; None where there is none."""
    found = [name for name in phase_axes(paths) if name not in (x, y)]
    first = x if x is not None else next(iter(found), None)
    if first is None:
        return None
    others = [name for name in found if name != first]
    return first, y if y is not None else next(iter(others), "")


def _num_text(table: pd.DataFrame) -> str:
    low, high = table["n"].min(), table["n"].max()
    return f"{counted(high, 'seed') if low == high else f'{low} to {high} seeds'} a cell"


def _axis(part: pd.DataFrame, name: str) -> tuple[Axis, NDArray[np.float64]]:
    """Give an axis of a panel, and the places of its cells."""
    places = [kind_and_number(name, value) for value in part[name]]
    known = [place for place in places if place is not None]
    assert len(known) == len(places), "phase_table keeps cells that have a number"
    numbers = pd.Series([number for _, number in known], index=part.index)
    own = numbers[part["refinement"] == 0]
    axis = axis_of(name, known[0][0], tuple(own if own.nunique() > 1 else numbers))
    return axis, np.array([axis.place(number) for number in numbers])


def _draw(panel: Axes, part: pd.DataFrame, names: Sequence[str]) -> None:
    across, xs = _axis(part, names[0])
    up, ys = _axis(part, names[1]) if names[1] else (None, np.zeros(len(part)))
    shares = part["share"].to_numpy(float)
    (left, right), (bottom, top) = _limits(xs), _limits(ys)
    _draw_ground(panel, (xs, ys, shares), (left, right, bottom, top))
    _draw_contour(panel, xs, ys, shares)
    for place, height, (_, cell) in zip(xs, ys, part.iterrows(), strict=True):
        is_dark = cell["share"] < HALF
        panel.plot(
            [place],
            [height],
            marker=ADDED_CELL if cell["refinement"] else GRID_CELL,
            markersize=15 if cell["refinement"] else 17,
            markerfacecolor=COLORS(cell["share"]),
            markeredgecolor="none",
        )
        _draw_edge(panel, place, height, cell)
        text = f"{cell['connected']}/{cell['n']}"
        panel.text(
            place, height, text, ha="center", va="center", fontsize=7, color="white" if is_dark else "black", zorder=5
        )
    panel.set(xlim=(left, right), ylim=(bottom, top), xlabel=LABELS.get(names[0], names[0].replace("_", " ")))
    _set_ticks(panel.xaxis, across, part[names[0]])
    if up is None:
        panel.set_yticks([])
    else:
        panel.set_ylabel(LABELS.get(names[1], names[1].replace("_", " ")))
        _set_ticks(panel.yaxis, up, part[names[1]])
    panel.grid(visible=False)
    panel.set_title(part["panel"].iloc[0], fontsize="small")


def _draw_edge(panel: Axes, place: float, height: float, cell: "pd.Series[Any]") -> None:
    """Draw the edge of a cell: dotted where its verdict is undecided."""
    style = (0, (1, 1)) if cell["verdict"] == UNDECIDED else "solid"
    panel.scatter(
        [place],
        [height],
        marker=ADDED_CELL if cell["refinement"] else GRID_CELL,
        s=(15 if cell["refinement"] else 17) ** 2,
        facecolors="none",
        edgecolors="white" if cell["share"] < HALF else "black",
        linestyles=[style],
        linewidths=1.2,
        zorder=4,
    )


def _draw_ground(
    panel: Axes,
    cells: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    extent: tuple[float, float, float, float],
) -> None:
    """Colour each point as the nearest cell, in units of the panel."""
    xs, ys, shares = cells
    left, right, bottom, top = extent
    across, up = np.meshgrid(np.linspace(left, right, RASTER), np.linspace(bottom, top, RASTER))
    squared = ((across[..., None] - xs) / (right - left)) ** 2 + ((up[..., None] - ys) / (top - bottom)) ** 2
    nearest = shares[squared.argmin(axis=-1)]
    panel.imshow(nearest, extent=extent, origin="lower", aspect="auto", cmap=COLORS, vmin=0, vmax=1, alpha=0.6)


def _draw_contour(panel: Axes, xs: NDArray[np.float64], ys: NDArray[np.float64], shares: NDArray[np.float64]) -> None:
    """Draw where linear interpolation between neighbouring cells passes one half."""
    style: dict[str, Any] = {"colors": "#c8221a", "linewidths": 2.0}
    if np.ptp(ys) == 0:
        order = np.argsort(xs)
        for (a, left), (b, right) in zip(
            zip(xs[order], shares[order], strict=True),
            zip(xs[order][1:], shares[order][1:], strict=False),
            strict=False,
        ):
            if (left - HALF) * (right - HALF) < 0:
                panel.axvline(a + (HALF - left) / (right - left) * (b - a), color=style["colors"], linewidth=2.0)
        return
    unit = np.column_stack([(xs - xs.min()) / np.ptp(xs), (ys - ys.min()) / np.ptp(ys)])
    if np.linalg.matrix_rank(unit - unit[0], tol=1e-9) < 2 or not shares.min() < HALF < shares.max():
        return
    triangles = Triangulation(unit[:, 0], unit[:, 1]).triangles
    panel.tricontour(Triangulation(xs, ys, triangles), shares, levels=[HALF], **style)


def _limits(places: NDArray[np.float64]) -> tuple[float, float]:
    spread = float(np.ptp(places)) or 1.0
    return float(places.min() - MARGIN * spread), float(places.max() + MARGIN * spread)


def _set_ticks(ticks: Any, axis: Axis, values: "pd.Series[Any]") -> None:
    """Put a tick at each of the grid's own values."""
    like = values.iloc[0]
    texts = {axis.place(number): value_at(axis.name, like, number) for number in axis.numbers}
    ticks.set_major_locator(FixedLocator(list(texts)))
    words = {place: text if isinstance(text, str) else f"{text:g}" for place, text in texts.items()}
    ticks.set_major_formatter(FuncFormatter(lambda place, _: words[min(words, key=lambda one: abs(one - place))]))
    ticks.set_minor_locator(NullLocator())


def _legend(figure: Figure, table: pd.DataFrame) -> None:
    plain: dict[str, Any] = {"linestyle": "none", "markerfacecolor": "0.8", "markeredgecolor": "black"}
    entries = [Line2D([], [], marker=GRID_CELL, label="cell: connected / all seeds", **plain)]
    if table["refinement"].any():
        entries.append(Line2D([], [], marker=ADDED_CELL, label="added by refinement", **plain))
    if (table["verdict"] == UNDECIDED).any():
        entries.append(Line2D([], [], color="black", linestyle=(0, (1, 1)), label="dotted edge: undecided"))
    entries.append(Line2D([], [], color="#c8221a", linewidth=2.0, label="50 % contour"))
    figure.legend(handles=entries, loc="outside lower center", ncols=len(entries), fontsize="small", frameon=False)
