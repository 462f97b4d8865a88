"""Draws decision boundaries and linear regions of two networks and their average."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.plots.missing import blank_figure
from lmc_mlflow.plots.style import grid_of_panels, house_style

TITLE = "Decision boundaries of two networks and of their average"
MISSING = (
    f"No two networks of points in the plane in the store yet: {RUN} train_pair "
    "-P dataset=moons -P model=mlp_l1_w8 -P shift=none -P init=different"
)
NUM_TINTS = 8
CLASS_STYLES = ({"color": "#c8641a", "marker": "o"}, {"color": "#1b4f8f", "marker": "^"})


def boundaries(table: pd.DataFrame, title: str = TITLE) -> Figure:
    """Draw the probability of class 1 (above) and linear regions (below), the boundary in black, test points on top.

    In a linear region the same hidden units are active. Neighbouring regions have different tints, which have no
    other meaning.

    Args:
        table: from `findings.boundaries.decision_boundaries`.
        title: over the figure.
    """
    if table.empty:
        return blank_figure(title, MISSING)
    names = list(dict.fromkeys(table["panel"]))
    with house_style():
        figure, rows = grid_of_panels(2, len(names), title, width=3.4, height=3.2, sharex=True, sharey=True)
        for place, name in enumerate(names):
            part = table[table["panel"] == name]
            grid = part[part["kind"] == "grid"]
            xs, ys = np.unique(grid["x"]), np.unique(grid["y"])
            probability, region = (
                grid[column].to_numpy(dtype=float).reshape(len(ys), len(xs)) for column in ("probability", "region")
            )
            upper, lower = rows[0][place], rows[1][place]
            shown = upper.contourf(xs, ys, probability, levels=np.linspace(0, 1, 11), cmap="RdBu", alpha=0.6)
            lower.pcolormesh(
                xs, ys, (region * 5) % NUM_TINTS, cmap="Pastel2", vmin=0, vmax=NUM_TINTS, shading="nearest"
            )
            for panel in (upper, lower):
                _lines(panel, part, (xs, ys, probability))
            upper.set_title(f"{name}\nloss {part['loss'].iloc[0]:.3g}, accuracy {part['accuracy'].iloc[0]:.1%}")
            lower.set_title(f"{len(np.unique(region))} linear regions seen")
        for row in rows:
            row[0].set_ylabel("y, as the network sees it")
        for panel in rows[1]:
            panel.set_xlabel("x, as the network sees it")
        figure.colorbar(shown, ax=[*rows[0], *rows[1]], label="probability of class 1 (0 to 1)", shrink=0.6)
    return figure


def _lines(panel: Axes, part: pd.DataFrame, field: "tuple[np.ndarray[tuple[int], np.dtype[np.float64]], ...]") -> None:
    xs, ys, probability = field
    if probability.min() < 0.5 < probability.max():
        panel.contour(xs, ys, probability, levels=[0.5], colors="black", linewidths=1.6)
    points = part[part["kind"] == "test"]
    for number, style in enumerate(CLASS_STYLES):
        own = points[points["label"] == number]
        panel.scatter(own["x"], own["y"], s=4, linewidths=0, alpha=0.5, **style)  # type: ignore[arg-type]
    panel.set_aspect("equal")
    panel.grid(visible=False)
    panel.title.set_fontsize("small")
