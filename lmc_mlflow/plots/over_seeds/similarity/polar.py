"""Draws paths in polar coordinates around A, over seeds (Hepburn et al., Figs. 15, 17, 22)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.plots.groups import Group, by_dataset, groups_of, num_text, readable, titled
from lmc_mlflow.plots.missing import PATHS, blank_figure, rows_with
from lmc_mlflow.plots.score_labels import in_words, score_in
from lmc_mlflow.plots.style import (
    SPLIT_LABELS,
    grid_of_panels,
    house_style,
    polar_frame,
    rim,
    score_center,
    shared_legend,
)

NAMED = ("lr", "batch_size", "epochs", "optimizer")
"""Settings that a label names wherever they differ, also where they follow from the model."""


def polar_over_seeds(curves: pd.DataFrame, split: str = "test", by: Sequence[str] | None = None) -> Figure:
    """Draw loss, accuracy and Manhattan distance (radius) against the angle at A; one line for each path.

    Args:
        curves: from `query.path_curves`.
        split: test, train_a or train_b.
        by: columns that make a condition, whose label says what it mixes; None: every setting in which the paths
            differ.
    """
    title = "Angle between the start and the network at alpha (degrees), every path a line"
    score = score_in(curves)
    scales = {"loss": 1, score: 100, "manhattan": 1}
    rows = rows_with(curves, ("run_id", "alpha", "split", "angle_deg", "dataset", *scales))
    rows = rows[rows["split"] == split] if len(rows) else rows
    if rows.empty:
        return blank_figure(title, PATHS)
    named = [name for name in NAMED if name in rows and rows[name].nunique(dropna=False) > 1]
    groups, note = readable(groups_of(rows, by, always=named if by is None else ()))
    name = SPLIT_LABELS.get(split, split)
    names = {
        "loss": f"{name} loss (nats per sample)",
        score: f"{name} {in_words(score)} (%)",
        "manhattan": "Manhattan distance from the start",
    }
    widest = float(rows["angle_deg"].max())
    datasets = [dataset for dataset, _ in by_dataset(pd.concat([group.rows for group in groups]))]
    with house_style():
        size: dict[str, Any] = {"height": 4.4, "subplot_kw": {"projection": "polar"}}
        figure, axes = grid_of_panels(len(datasets), 3, titled(title, rows, note), **size)
        engine = figure.get_layout_engine()
        assert engine is not None
        engine.set(h_pad=0.25)  # type: ignore[call-arg]  # room for the ticks of the radius, which the layout overlooks
        for dataset, line in zip(datasets, axes, strict=True):
            for panel, (value, scale) in zip(line, scales.items(), strict=True):
                for group in groups:
                    _lines(panel, group, group.rows[group.rows["dataset"] == dataset], value, scale)
                here = scale * rows.loc[rows["dataset"] == dataset, value]
                start = score_center(here) if value == score else 0.0
                polar_frame(panel, f"{dataset}, radius: {names[value]}, centre: {start:g}", widest)
                panel.set_rlim(start, rim(start, here))  # type: ignore[attr-defined]
        shared_legend(figure, [panel for line in axes for panel in line])
    return figure


def _lines(panel: Axes, group: Group, rows: pd.DataFrame, value: str, scale: float) -> None:
    label: str | None = f"{group.label} ({num_text(group.rows, 'path')})"
    for _, path in rows.sort_values("alpha").groupby("run_id", sort=False):
        angles = np.deg2rad(path["angle_deg"].astype(float))
        panel.plot(angles, scale * path[value], label=label, markersize=3, linewidth=1, alpha=0.8, **group.style)
        label = None
