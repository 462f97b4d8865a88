"""Draws paths in polar coordinates around A, over seeds (Hepburn et al., Fig. 15)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.findings.conditions import CONDITIONS, distinguishing
from lmc_mlflow.models.names import in_natural_order
from lmc_mlflow.plots.facets import facets_of
from lmc_mlflow.plots.groups import num_text, titled
from lmc_mlflow.plots.missing import PATHS, blank_figure, rows_with
from lmc_mlflow.plots.score_labels import in_words, score_in
from lmc_mlflow.plots.style import (
    SPLIT_LABELS,
    grid_of_panels,
    group_style,
    house_style,
    polar_frame,
    rim,
    score_center,
    shared_legend,
)

NAMED = ("lr", "batch_size", "epochs", "optimizer")
"""Settings that the title of a row names wherever they differ, also where they follow from the data set."""
MOST_ROWS = 6
"""More conditions than this are no figure that a reader takes in."""


def polar_over_seeds(curves: pd.DataFrame, split: str = "test", by: Sequence[str] | None = None) -> Figure:
    """Draw loss, accuracy and Manhattan distance (radius) against the angle at A, every path a line.

    A row of three panels holds one data set and one training condition, which its title names; the colours are the
    networks, all trained under this condition.

    Args:
        curves: from `query.path_curves`.
        split: test, train_a or train_b.
        by: columns that make a row, whose title says what it mixes; None: every setting besides the network in which
            the paths differ.
    """
    title = "Angle between the start and the network at alpha (degrees), every path a line"
    score = score_in(curves)
    scales = {"loss": 1, score: 100, "manhattan": 1}
    rows = rows_with(curves, ("run_id", "alpha", "split", "angle_deg", "dataset", "model", *scales))
    rows = rows[rows["split"] == split] if len(rows) else rows
    if rows.empty:
        return blank_figure(title, PATHS)
    facets, note = facets_of(rows, _settings(rows) if by is None else by, point=("model",))
    if len(facets) > MOST_ROWS:
        note = f"\nthe first {MOST_ROWS} of {len(facets)} conditions; the others are not drawn"
    facets = facets[:MOST_ROWS]
    name = SPLIT_LABELS.get(split, split)
    names = {
        "loss": f"{name} loss (nats per sample)",
        score: f"{name} {in_words(score)} (%)",
        "manhattan": "Manhattan distance from the start",
    }
    shown = pd.concat([facet.rows for facet in facets])
    models = in_natural_order(list(shown["model"].astype(str)))
    styles = {model: group_style(number) for number, model in enumerate(models)}
    with house_style():
        figure, axes = polar_panels(len(facets), titled(title, rows, note))
        for facet, line in zip(facets, axes, strict=True):
            for panel, (value, scale) in zip(line, scales.items(), strict=True):
                _lines(panel, facet.rows, value, scale, styles)
                frame_radius(
                    panel,
                    scale * facet.rows[value],
                    f"{facet.title}\nradius: {names[value]}",
                    float(shown["angle_deg"].max()),
                    is_score=value == score,
                )
        shared_legend(figure, [panel for line in axes for panel in line])
    return figure


def polar_panels(rows: int, title: str, columns: int = 3) -> tuple[Figure, list[list[Axes]]]:
    """Make rows of polar panels with room for the ticks of the radius.

    Args:
        rows: of panels.
        title: over the figure.
        columns: panels of a row.
    """
    size: dict[str, Any] = {"height": 4.4, "subplot_kw": {"projection": "polar"}}
    figure, axes = grid_of_panels(rows, columns, title, **size)
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(h_pad=0.25)  # type: ignore[call-arg]  # the layout overlooks the ticks of the radius
    return figure, axes


def frame_radius(panel: Axes, radii: "pd.Series[Any]", title: str, widest: float, is_score: bool) -> None:
    """Set angle, radius and title of a polar panel; scores do not begin at 0.

    Args:
        panel: in polar projection.
        radii: all that are drawn in it.
        title: the number at the centre is added to it.
        widest: largest angle of the figure, in degrees.
        is_score: whether the radius is a score in percent.
    """
    start = score_center(radii) if is_score else 0.0
    polar_frame(panel, f"{title}, centre: {start:g}", widest)
    panel.set_rlim(start, rim(start, radii))  # type: ignore[attr-defined]


def _settings(rows: pd.DataFrame) -> list[str]:
    """List the settings besides the network in which the paths differ, and those of `NAMED` that follow from them."""
    found = distinguishing(rows, [name for name in CONDITIONS if name != "model"])
    differing = [name for name in NAMED if name in rows and rows[name].nunique(dropna=False) > 1]
    return sorted({*found, *differing}, key=CONDITIONS.index)


def _lines(panel: Axes, rows: pd.DataFrame, value: str, scale: float, styles: Mapping[str, Mapping[str, Any]]) -> None:
    for model, style in styles.items():
        own = rows[rows["model"].astype(str) == model]
        label: str | None = f"{model} ({num_text(own, 'path')})"
        for _, path in own.sort_values("alpha").groupby("run_id", sort=False):
            angles = np.deg2rad(path["angle_deg"].astype(float))
            panel.plot(angles, scale * path[value], label=label, markersize=3, linewidth=1, alpha=0.8, **style)
            label = None
