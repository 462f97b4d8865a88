"""Draws the angle of two networks against their distance (Hepburn et al., Fig. 13) and of connected pairs (Fig. 14)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lmc_mlflow.findings.families import OTHER, family_of
from lmc_mlflow.findings.thresholds import LOST_BELOW
from lmc_mlflow.models.families import has_batch_norm
from lmc_mlflow.plots.facets import Facet, PointStyles, facets_of
from lmc_mlflow.plots.groups import Group, groups_of, num_text, titled
from lmc_mlflow.plots.missing import PATHS, blank_figure, rows_with
from lmc_mlflow.plots.over_seeds.barriers import LOST_LABEL, draw_row_of_paths
from lmc_mlflow.plots.score_labels import in_words, score_in
from lmc_mlflow.plots.style import grid_of_panels, house_style, rows_of_labels, shared_legend

VERDICTS = {"yes": "full", "apparent": "left", "no": "none"}
"""Verdict of a path -> how its marker is filled."""
FAMILIES = ("MLP", "ResNet", "VGG", OTHER)
"""In the order of the rows; within each, networks without batch norm come first."""
PANELS_ACROSS = 3
REFERENCE = "two independent initializations"


def angle_against_manhattan(paths: pd.DataFrame, by: Sequence[str] | None = None) -> Figure:
    """Draw the angle between both ends of every path against their Manhattan distance; filled markers are connected.

    The marker is the model, the colour batch size and rate; every other setting in which the paths differ has a panel.

    Args:
        paths: from `query.paths`.
        by: columns that make a panel, whose title says what it mixes; None: every setting in which the paths differ.
    """
    title = "Angle and Manhattan distance between the ends of every path"
    rows = rows_with(paths, ("angle_deg", "manhattan", "connected"))
    rows = rows[rows["connected"].isin(VERDICTS)] if len(rows) else rows
    if rows.empty:
        return blank_figure(title, PATHS)
    facets, note = facets_of(rows, by)
    shown = pd.concat([facet.rows for facet in facets])
    across = min(PANELS_ACROSS, len(facets))
    down = -(-len(facets) // across)
    size = {"width": 7.5 if across == 1 else 4.4, "height": 3.8}
    with house_style():
        figure, grid = grid_of_panels(down, across, titled(title, rows, note), **size, sharex=True, sharey=True)
        panels = [panel for line in grid for panel in line]
        styles = PointStyles(shown)
        for panel, facet in zip(panels, facets, strict=False):
            _scatter(panel, facet, styles)
        for panel in panels[len(facets) :]:
            panel.set_axis_off()
        _name_axes(grid, len(facets))
        styles.add_entries(panels[0])
        for verdict in VERDICTS:
            if (shown["connected"] == verdict).any():
                panels[0].add_line(_verdict_entry(verdict))
        shared_legend(figure, panels[:1])
    return figure


def _scatter(panel: Axes, facet: Facet, styles: PointStyles) -> None:
    for point, rows in facet.points():
        for verdict, fill in VERDICTS.items():
            part = rows[rows["connected"] == verdict]
            if len(part):
                style = {**styles.of(point), "linestyle": "none", "markersize": 7, "fillstyle": fill}
                panel.plot(part["manhattan"], part["angle_deg"], **style)
    panel.set_title(facet.title, fontsize="small")
    panel.set_xscale("log")


def _name_axes(grid: list[list[Axes]], num_panels: int) -> None:
    across = len(grid[0])
    for place in range(num_panels):
        panel = grid[place // across][place % across]
        if place + across >= num_panels:  # nothing is drawn below it
            panel.set_xlabel("Manhattan distance (all trainable parameters)")
            panel.tick_params(labelbottom=True)
        if not place % across:
            panel.set_ylabel("angle (degrees)")


def angle_of_connected(paths: pd.DataFrame, angle: str = "angle_deg") -> Figure:
    """Draw the angle between the sides of connected pairs, a row for each condition, and that of random networks.

    Beside it stands the accuracy delta with the limit by which the paper chooses the pairs of Fig. 14.

    Args:
        paths: from `query.paths`.
        angle: angle_deg (all parameters) or angle_weights_deg (weight matrices and kernels alone). The
            reference is drawn beside the former only: it is over all parameters.
    """
    title = "Angle between the sides of connected pairs; diamond and bar: mean and sample standard deviation"
    rows = rows_with(paths, (angle, "connected", "model", "pair"))
    if len(rows):
        rows = rows[(rows["connected"] == "yes") & (rows["pair"] != "")].drop_duplicates("pair")
    if rows.empty:
        return blank_figure(title, PATHS.replace("No path with this", "No connected pair"))
    score = score_in(rows, "test/{}_delta")
    groups = sorted(groups_of(rows, leave_out=("bn",), always=("model",)), key=_family_place)
    with house_style():
        labels = [f"{group.label} ({num_text(group.rows, 'pair')})" for group in groups]
        figure, (left, right) = rows_of_labels(labels, 2, titled(title, rows), width=3.4)
        for place, group in enumerate(groups):
            draw_row_of_paths(left, group, place, angle)
            if f"test/{score}_delta" in group.rows:
                draw_row_of_paths(right, group, place, f"test/{score}_delta", 100)
            if angle == "angle_deg":
                _reference(left, group, place)
        left.set_xlabel(f"angle (degrees, {_parameters(angle)})")
        left.set_xlim(left=0)
        right.axvline(LOST_BELOW, color="black", linestyle="--", linewidth=0.8, label=f"paper, Fig. 14: {LOST_LABEL}")
        right.set_xlabel(f"{in_words(score)} delta (percentage points)")
        shared_legend(figure, [left, right])
    return figure


def _family_place(group: Group) -> tuple[int, bool]:
    model = str(group.rows["model"].iloc[0])
    return FAMILIES.index(family_of(model)), has_batch_norm(model)


def _reference(panel: Axes, group: Group, place: int) -> None:
    """Mark the angle of two independent initializations, which depends on the network: batch norm halves it."""
    values = group.rows.get("angle_reference_deg", pd.Series(dtype=float)).dropna()
    if len(values):
        angle, label = float(np.mean(values)), REFERENCE if not place else "_"
        panel.vlines(angle, place - 0.4, place + 0.4, color="#c8641a", linewidth=2.5, label=label)


def _parameters(angle: str) -> str:
    return "all parameters" if angle == "angle_deg" else "weight matrices and kernels"


def _verdict_entry(verdict: str) -> Line2D:
    return Line2D(
        [],
        [],
        color="0.4",
        marker="o",
        linestyle="none",
        markersize=8,
        fillstyle=VERDICTS[verdict],  # type: ignore[arg-type]
        label=f"connected: {verdict}",
    )
