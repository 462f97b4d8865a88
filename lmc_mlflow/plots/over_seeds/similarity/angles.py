"""Draws the angle of two networks against their distance (Hepburn et al., Fig. 13) and of connected pairs (Fig. 14)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lmc_mlflow.findings.families import FAMILIES, OTHER, family_of
from lmc_mlflow.findings.thresholds import LOST_BELOW
from lmc_mlflow.models.families import has_batch_norm
from lmc_mlflow.plots.encoding import Encoding
from lmc_mlflow.plots.facets import POINT, Facet, encoding_of, facet_panels, facets_of, point_settings
from lmc_mlflow.plots.groups import Group, groups_of, learnt_only, num_text, titled
from lmc_mlflow.plots.missing import PATHS, blank_figure, rows_with
from lmc_mlflow.plots.over_seeds.barriers.by_model import LOST_LABEL, draw_row_of_paths
from lmc_mlflow.plots.over_seeds.similarity.connected_pairs import connected_pairs
from lmc_mlflow.plots.score_labels import in_words, score_in
from lmc_mlflow.plots.style import house_style, readable_log, rows_of_labels, shared_legend

VERDICTS = {"yes": "full", "apparent": "left", "no": "none"}
"""Verdict of a path -> how its marker is filled."""
ROWS = (*FAMILIES, OTHER)
"""Families in the order of the rows; within each, networks without batch norm come first."""
LABELS = ("Manhattan distance (all trainable parameters)", "angle (degrees)")
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
    rows = rows[rows["manhattan"] > 0] if len(rows) else rows  # two equal networks have no place on a logarithmic axis
    rows, left_out = learnt_only(rows[rows["connected"].isin(VERDICTS)] if len(rows) else rows)
    if rows.empty:
        return blank_figure(title, PATHS)
    point = point_settings(rows, reserved=len(VERDICTS)) if by is None else POINT
    facets, note = facets_of(rows, by, point)
    shown = pd.concat([facet.rows for facet in facets])
    with house_style():
        figure, panels = facet_panels(facets, titled(title, rows, note + left_out), LABELS)
        encoding = encoding_of(shown, point)
        for panel, facet in zip(panels, facets, strict=True):
            _scatter(panel, facet, encoding)
        readable_log(panels[0].xaxis, *panels[0].get_xlim())  # the panels share it
        encoding.add_entries(panels[0])
        for verdict in VERDICTS:
            if (shown["connected"] == verdict).any():
                panels[0].add_line(_verdict_entry(verdict))
        shared_legend(figure, panels[:1])
    return figure


def _scatter(panel: Axes, facet: Facet, encoding: Encoding) -> None:
    for rows in facet.conditions():
        for verdict, fill in VERDICTS.items():
            part = rows[rows["connected"] == verdict]
            if len(part):
                style = {**encoding.of(rows), "markersize": 7, "fillstyle": fill}
                panel.plot(part["manhattan"], part["angle_deg"], **style)
    panel.set_xscale("log")


def angle_of_connected(paths: pd.DataFrame, angle: str = "angle_deg") -> Figure:
    """Draw the angle between the sides of connected pairs, a row for each condition, and that of random networks.

    Beside it stands the accuracy delta with the limit by which the paper chooses the pairs of Fig. 14.

    Args:
        paths: from `query.paths`.
        angle: angle_deg (all parameters) or angle_weights_deg (weight matrices and kernels alone). The
            reference is drawn beside the former only: it is over all parameters.
    """
    title = "Angle between the sides of connected pairs; diamond and bar: mean and sample standard deviation"
    rows, left_out = learnt_only(connected_pairs(paths, angle))
    if rows.empty:
        return blank_figure(title, PATHS.replace("No path with this", "No connected pair"))
    score = score_in(rows, "test/{}_delta")
    groups = sorted(groups_of(rows, leave_out=("bn",), always=("model",)), key=_family_place)
    with house_style():
        labels = [f"{group.label} ({num_text(group.rows, 'pair')})" for group in groups]
        figure, (left, right) = rows_of_labels(labels, 2, titled(title, rows, left_out), width=3.4)
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
    return ROWS.index(family_of(model)), has_batch_norm(model)


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
