"""Draws how barriers grow with training: every definition against the epoch, over seeds."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.findings.thresholds import FLAT_BELOW
from lmc_mlflow.plots.groups import groups_of, num_text, over_seeds, readable, titled
from lmc_mlflow.plots.missing import blank_figure, rows_with
from lmc_mlflow.plots.over_seeds.curves import BAND
from lmc_mlflow.plots.per_run.paths_by_epoch import DEFINITIONS
from lmc_mlflow.plots.style import SPLIT_LABELS, grid_of_panels, house_style, readable_log, shared_legend

NEEDED = f"No barrier over kept epochs in the store yet: {RUN} sweep -P grid=training_length"
COLUMNS = 2


def barrier_by_epoch(barriers: pd.DataFrame, split: str = "test") -> Figure:
    """Draw every definition of the barrier against the epoch, a panel with an axis of its own for each condition.

    Args:
        barriers: from `query.barriers_by_epoch`.
        split: test, train_a or train_b.
    """
    title = f"Barrier by epoch of training, {SPLIT_LABELS.get(split, split)} data; {BAND}"
    rows = rows_with(barriers, ("epoch", "split", *DEFINITIONS))
    rows = rows[rows["split"] == split]
    if rows.empty:
        return blank_figure(title, NEEDED)
    groups, note = readable(groups_of(rows, leave_out=("epochs",)))
    columns = min(COLUMNS, len(groups))
    with house_style():
        text = titled(title, rows.drop(columns="epochs", errors="ignore"), note)
        figure, axes = grid_of_panels(-(-len(groups) // columns), columns, text, height=3.2)
        places = [panel for line in axes for panel in line]
        for panel, group in zip(places, groups, strict=False):
            _draw(panel, group.rows)
            panel.set_title(f"{group.label} ({num_text(group.rows, 'path')})", fontsize="small")
            panel.set_ylim(bottom=0)
        for panel in places[len(groups) :]:
            panel.set_axis_off()
        for line in axes:
            line[0].set_ylabel("barrier (nats; fraction)")
        shared_legend(figure, places[:1])
    return figure


def _draw(panel: Axes, rows: pd.DataFrame) -> None:
    for name, style in DEFINITIONS.items():
        table = over_seeds(rows, name, "epoch")
        panel.plot(table["epoch"], table["mean"], markersize=4, **style)
        if table["n"].max() > 1:
            below, above = table["mean"] - table["deviation"], table["mean"] + table["deviation"]
            panel.fill_between(table["epoch"], below, above, color=style["color"], alpha=0.2, linewidth=0)
    panel.axhline(
        FLAT_BELOW, color="black", linestyle="--", linewidth=0.8, label=f"no barrier up to {FLAT_BELOW:g} nats"
    )
    low, high = float(rows["epoch"].min()), float(rows["epoch"].max())
    panel.set_xscale("log")
    readable_log(panel.xaxis, low, high)
    panel.set_xlabel("epochs of training (log scale)")
