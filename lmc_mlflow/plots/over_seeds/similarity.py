"""Draws the angle of two networks against their distance (Hepburn et al., Fig. 13) and by family (Fig. 14)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lmc_mlflow.findings.families import OTHER, family_of
from lmc_mlflow.plots.groups import groups_of, num_text, readable, titled
from lmc_mlflow.plots.missing import PATHS, blank_figure, rows_with
from lmc_mlflow.plots.style import grid_of_panels, house_style, shared_legend

VERDICTS = {"yes": "full", "apparent": "left", "no": "none"}
"""Verdict of a path -> how its marker is filled."""
HATCHES = {"MLP": "", "ResNet": "//", "VGG": "..", OTHER: "xx"}
"""Family -> hatching of its box, in the order of the boxes."""


def angle_against_manhattan(paths: pd.DataFrame, by: Sequence[str] | None = None) -> Figure:
    """Draw the angle between both ends of every path against their Manhattan distance; filled markers are connected.

    Args:
        paths: from `query.paths`.
        by: columns that make a condition; None: every setting in which the paths differ.
    """
    title = "Angle and Manhattan distance between the ends of every path"
    rows = rows_with(paths, ("angle_deg", "manhattan", "connected"))
    rows = rows[rows["connected"].isin(VERDICTS)] if len(rows) else rows
    if rows.empty:
        return blank_figure(title, PATHS)
    groups, note = readable(groups_of(rows, by))
    with house_style():
        figure, ((panel,),) = grid_of_panels(1, 1, titled(title, rows, note), width=7.5, height=4.8)
        for group in groups:
            label: str | None = f"{group.label} ({num_text(group.rows, 'path')})"
            for verdict, fill in VERDICTS.items():
                part = group.rows[group.rows["connected"] == verdict]
                if part.empty:
                    continue
                panel.plot(
                    part["manhattan"],
                    part["angle_deg"],
                    **{**group.style, "linestyle": "none"},
                    markersize=8,
                    fillstyle=fill,
                    label=label,
                )
                label = None
        panel.set(xlabel="Manhattan distance (all trainable parameters)", ylabel="angle (degrees)", xscale="log")
        for verdict in VERDICTS:
            if (rows["connected"] == verdict).any():
                panel.add_line(_verdict_entry(verdict))
        shared_legend(figure, [panel])
    return figure


def angle_of_connected(paths: pd.DataFrame, angle: str = "angle_deg") -> Figure:
    """Draw the angle between the sides of connected pairs by family, with that of independent initializations.

    Args:
        paths: from `query.paths`.
        angle: angle_deg (all parameters) or angle_weights_deg (weight matrices and kernels alone). The
            reference is drawn beside the former only: it is over all parameters.
    """
    title = "Angle between the sides of connected pairs, by family"
    rows = rows_with(paths, (angle, "connected", "model", "pair"))
    if len(rows):
        rows = rows[(rows["connected"] == "yes") & (rows["pair"] != "")].drop_duplicates("pair")
    if rows.empty:
        return blank_figure(title, PATHS.replace("No path with this", "No connected pair"))
    rows = rows.assign(family=[family_of(str(model)) for model in rows["model"]])
    families = [family for family in HATCHES if family in set(rows["family"])]
    with house_style():
        figure, ((panel,),) = grid_of_panels(1, 1, titled(title, rows), width=max(5.0, 2.4 * len(families)), height=4.6)
        for place, family in enumerate(families):
            _family(panel, rows[rows["family"] == family], place, angle)
        labels = [f"{family}\n{num_text(rows[rows['family'] == family], 'pair')}" for family in families]
        panel.set_xticks(range(len(families)), labels)
        panel.set(xlim=(-0.6, len(families) - 0.4), ylabel=f"angle (degrees, {_parameters(angle)})")
        panel.set_ylim(bottom=0)
        shared_legend(figure, [panel])
    return figure


def _family(panel: Axes, rows: pd.DataFrame, place: int, angle: str) -> None:
    values = rows[angle].to_numpy(dtype=float)
    if len(values) > 1:
        boxes = panel.boxplot(
            values,
            positions=[place],
            widths=0.5,
            showfliers=False,
            patch_artist=True,
            medianprops={"color": "black", "linewidth": 1.6},
        )
        boxes["boxes"][0].set(facecolor="0.9", edgecolor="0.3", hatch=HATCHES[str(rows["family"].iloc[0])])
    aside = place + 0.12 * np.linspace(-1, 1, len(values)) if len(values) > 1 else np.array([float(place)])
    first = place == 0
    panel.plot(aside, values, "o", color="#1b4f8f", markersize=5, label="a connected pair" if first else None)
    if angle == "angle_deg" and "angle_reference_deg" in rows and rows["angle_reference_deg"].notna().any():
        panel.hlines(
            float(rows["angle_reference_deg"].mean()),
            place - 0.4,
            place + 0.4,
            color="#c8641a",
            linestyle="--",
            linewidth=2,
            label="two independent initializations" if first else "_",
        )


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
