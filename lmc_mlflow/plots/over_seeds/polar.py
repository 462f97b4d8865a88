"""Draws paths in polar coordinates around A, over seeds (Hepburn et al., Figs. 15, 17, 22)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lmc_mlflow.plots.groups import groups_of, num_text, readable, titled
from lmc_mlflow.plots.missing import PATHS, blank_figure, rows_with
from lmc_mlflow.plots.score_labels import in_words, score_in
from lmc_mlflow.plots.style import SPLIT_LABELS, grid_of_panels, house_style, shared_legend


def polar_over_seeds(curves: pd.DataFrame, split: str = "test", by: Sequence[str] | None = None) -> Figure:
    """Draw loss, accuracy and Manhattan distance (radius) against the angle at A; one line for each path.

    Args:
        curves: from `query.path_curves`.
        split: test, train_a or train_b.
        by: columns that make a condition; None: every setting in which the paths differ.
    """
    title = "Angle between A and the network at alpha (degrees), every path a line"
    score = score_in(curves)
    scales = {"loss": 1, score: 100, "manhattan": 1}
    rows = rows_with(curves, ("run_id", "alpha", "split", "angle_deg", *scales))
    rows = rows[rows["split"] == split] if len(rows) else rows
    if rows.empty:
        return blank_figure(title, PATHS)
    groups, note = readable(groups_of(rows, by))
    name = SPLIT_LABELS.get(split, split)
    names = {
        "loss": f"{name} loss (nats per sample)",
        score: f"{name} {in_words(score)} (%)",
        "manhattan": "Manhattan distance from A",
    }
    widest = float(rows["angle_deg"].max())
    with house_style():
        figure, (axes,) = grid_of_panels(
            1, 3, titled(title, rows, note), height=4.4, subplot_kw={"projection": "polar"}
        )
        for panel, (value, scale) in zip(axes, scales.items(), strict=True):
            for group in groups:
                label: str | None = f"{group.label} ({num_text(group.rows, 'path')})"
                for _, path in group.rows.sort_values("alpha").groupby("run_id", sort=False):
                    angles = np.deg2rad(path["angle_deg"].astype(float))
                    panel.plot(
                        angles, scale * path[value], label=label, markersize=3, linewidth=1, alpha=0.8, **group.style
                    )
                    label = None
            _frame(panel, names[value], widest)
        shared_legend(figure, axes)
    return figure


def _frame(panel: Axes, name: str, widest: float) -> None:
    panel.set_thetamin(0)  # type: ignore[attr-defined]
    panel.set_thetamax(min(180.0, max(30.0, 15 * np.ceil(widest / 15))))  # type: ignore[attr-defined]
    panel.set_rmin(0)  # type: ignore[attr-defined]
    panel.set_title(f"radius: {name}", fontsize="small")
    panel.yaxis.set_major_locator(MaxNLocator(3))
    panel.tick_params(labelsize="small")
