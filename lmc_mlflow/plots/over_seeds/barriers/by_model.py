"""Draws barriers and accuracy deltas model by model (Hepburn et al., Fig. 4)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.findings.thresholds import FIG_4_LINE, LOST_BELOW
from lmc_mlflow.plots.groups import Group, groups_of, learnt_only, num_text, over_seeds, titled
from lmc_mlflow.plots.missing import PATHS, blank_figure, rows_with
from lmc_mlflow.plots.score_labels import in_words, score_in
from lmc_mlflow.plots.style import SPLIT_LABELS, house_style, rows_of_labels, shared_legend

LOST_LABEL = f"threshold: {LOST_BELOW:g} points"
"""Label of the line at the accuracy delta below which the connection breaks."""
PAPER_LINE: dict[str, Any] = {
    "color": "black",
    "linestyle": (0, (1, 2)),
    "linewidth": 0.8,
    "label": f"line of the paper's Fig. 4: {FIG_4_LINE:g} points",
}


def barrier_by_model(paths: pd.DataFrame, split: str = "test", by: Sequence[str] | None = None) -> Figure:
    """Draw barrier in basin and accuracy delta of every path, a row for each model (and other condition).

    Args:
        paths: from `query.paths`.
        split: test, train_a or train_b.
        by: columns that make a row; None: the model and every other setting in which the paths differ.
    """
    score = score_in(paths, f"{split}/{{}}_delta")
    barrier, delta = f"{split}/barrier_in_basin", f"{split}/{score}_delta"
    name = SPLIT_LABELS.get(split, split)
    what = f"Barrier and {in_words(score)} delta"
    title = f"{what} by model, {name} data; diamond and bar: mean and sample standard deviation"
    rows, left_out = learnt_only(rows_with(paths, (barrier, delta, "model")), split)
    if rows.empty:
        return blank_figure(title, PATHS)
    groups = groups_of(rows, by, always=("model",))
    with house_style():
        labels = [f"{group.label} ({num_text(group.rows, 'path')})" for group in groups]
        figure, (left, right) = rows_of_labels(labels, 2, titled(title, rows, left_out), width=3.4)
        for place, group in enumerate(groups):
            draw_row_of_paths(left, group, place, barrier, 1)
            draw_row_of_paths(right, group, place, delta, 100)
        left.set_xlabel("barrier in basin (nats per sample)")
        right.axvline(FIG_4_LINE, **PAPER_LINE)
        right.axvline(LOST_BELOW, color="black", linestyle="--", linewidth=1, label=LOST_LABEL)
        right.set_xlabel(f"{in_words(score)} delta (percentage points)")
        shared_legend(figure, [left, right])
    return figure


def draw_row_of_paths(panel: Axes, group: Group, place: int, value: str, scale: float = 1) -> None:
    """Draw every path of a group in a row of a panel, and their mean with its deviation.

    Args:
        panel: to draw in.
        group: whose paths; those without the value are left out.
        place: number of the row.
        value: column of the horizontal axis.
        scale: factor on the value.
    """
    rows = group.rows.dropna(subset=[value])
    if rows.empty:
        return
    values = scale * rows[value].to_numpy(dtype=float)
    heights = place + 0.14 * (-1.0) ** np.arange(len(values))
    panel.plot(
        values, heights, "o", color="0.45", markersize=4, markerfacecolor="none", label="a path" if not place else None
    )
    table = over_seeds(rows.assign(all=0), value, "all")
    spread = scale * float(table["deviation"].iloc[0]) if table["n"].iloc[0] > 1 else None
    panel.errorbar(
        scale * float(table["mean"].iloc[0]),
        place,
        xerr=spread,
        fmt="D",
        color="#1b4f8f",
        markersize=6,
        capsize=4,
        label="mean over seeds" if not place else None,
    )
