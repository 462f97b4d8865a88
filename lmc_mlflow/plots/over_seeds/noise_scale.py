"""Draws barriers against the noise scale g = lr (N/B - 1) of SGD (Hepburn et al., after Smith and Le)."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from lmc_mlflow.findings.conditions import counted, has_learnt
from lmc_mlflow.findings.thresholds import FLAT_BELOW
from lmc_mlflow.plots.facets import Facet, PointStyles, facets_of
from lmc_mlflow.plots.groups import over_seeds, titled
from lmc_mlflow.plots.missing import PATHS, blank_figure, rows_with
from lmc_mlflow.plots.style import SPLIT_LABELS, grid_of_panels, house_style, shared_legend

SCALE = "noise_scale"
PANELS_ACROSS = 3


def barrier_by_noise_scale(
    paths: pd.DataFrame, endpoints: pd.DataFrame, split: str = "test", by: Sequence[str] | None = None
) -> Figure:
    """Draw barrier in basin against g, a point with a bar for each condition and its number of seeds below it.

    The marker is the model, the colour batch size and rate; every other setting in which the paths differ has a panel.
    Networks that have not learnt (`conditions.has_learnt`) are left out and counted. g is of SGD: for other optimizers
    it orders batch sizes and rates, and does not compare them with SGD's.

    Args:
        paths: from `query.paths`, within pairs.
        endpoints: from `query.endpoints`: the noise scale of both ends.
        split: test, train_a or train_b.
        by: columns that make a panel; None: every setting in which the paths differ.
    """
    title = (
        f"Barrier against noise scale, {SPLIT_LABELS.get(split, split)} data; mean over seeds, bars: sample standard "
        "deviation, numbers: seeds"
    )
    barrier = f"{split}/barrier_in_basin"
    rows = rows_with(paths, (barrier, "run_a", "run_b", "model", "lr", "batch_size"))
    rows = with_noise_scale(rows, endpoints)
    rows = rows[rows[SCALE] > 0]
    learnt = has_learnt(rows, f"{split}/path_accuracy")
    left_out = f"\n{counted(int((~learnt).sum()), 'path')} of networks that have not learnt left out"
    rows = rows[learnt]
    if rows.empty:
        return blank_figure(title, PATHS)
    facets, note = facets_of(rows, by)
    across = min(PANELS_ACROSS, len(facets))
    down = -(-len(facets) // across)
    size: dict[str, Any] = {"width": 7.5 if across == 1 else 4.4, "height": 3.8, "sharex": True, "sharey": True}
    note += left_out if (~learnt).any() else ""
    with house_style():
        figure, grid = grid_of_panels(down, across, titled(title, rows, note), **size)
        panels = [panel for line in grid for panel in line]
        styles = PointStyles(pd.concat([facet.rows for facet in facets]))
        for place, (panel, facet) in enumerate(zip(panels, facets, strict=False)):
            _draw(panel, facet, styles, barrier)
            if place + across >= len(facets):  # nothing is drawn below it
                panel.set_xlabel("g = lr (N/B - 1), mean of both sides")
                panel.tick_params(labelbottom=True)
        for panel in panels[len(facets) :]:
            panel.set_axis_off()
        for line in grid:
            line[0].set_ylabel("barrier in basin (nats per sample)")
        styles.add_entries(panels[0])
        shared_legend(figure, panels[:1])
    return figure


def with_noise_scale(paths: pd.DataFrame, endpoints: pd.DataFrame) -> pd.DataFrame:
    """Add the column `noise_scale`: the mean of g over both ends of every path; NaN where it is not logged."""
    if paths.empty or not {"run_id", SCALE} <= set(endpoints):
        return paths.assign(**{SCALE: float("nan")})
    known = endpoints.drop_duplicates("run_id").set_index("run_id")[SCALE]
    return paths.assign(**{SCALE: (paths["run_a"].map(known) + paths["run_b"].map(known)) / 2})


def _draw(panel: Axes, facet: Facet, styles: PointStyles, barrier: str) -> None:
    for point, rows in facet.points():
        table = over_seeds(rows.assign(all=0), barrier, "all").iloc[0]
        mean, num_seeds = float(table["mean"]), int(table["n"])
        spread = float(table["deviation"]) if num_seeds > 1 else None
        style = {**styles.of(point), "markersize": 6.5, "capsize": 3, "linestyle": "none"}
        if num_seeds == 1:
            style["markerfacecolor"] = "white"
        scale = float(rows[SCALE].mean())
        panel.errorbar(scale, mean, yerr=spread, **style)
        low = (scale, mean - (spread or 0.0))
        panel.annotate(str(num_seeds), low, (0, -10), textcoords="offset points", ha="center", va="top", fontsize=7)
    panel.axhline(FLAT_BELOW, color="black", linestyle="--", linewidth=0.8, label=f"no barrier up to {FLAT_BELOW:g}")
    panel.set_title(facet.title, fontsize="small")
    panel.set(xscale="log")
    panel.set_yscale("symlog", linthresh=FLAT_BELOW)
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
