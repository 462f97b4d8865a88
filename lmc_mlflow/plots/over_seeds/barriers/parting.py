"""Draws barriers against the epoch after which the sides of a pair part (instability analysis, Frankle et al.)."""

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.findings.parting import PARTING, Parting, partings
from lmc_mlflow.findings.thresholds import FLAT_BELOW
from lmc_mlflow.plots.groups import Group, groups_of, num_text, over_seeds, readable, titled
from lmc_mlflow.plots.missing import blank_figure
from lmc_mlflow.plots.over_seeds.curves import BAND
from lmc_mlflow.plots.style import SPLIT_LABELS, house_style, panels, shared_legend

NEEDED = f"No pairs that part at several epochs in the store yet: {RUN} sweep -P grid=instability"


def barrier_by_parting(paths: pd.DataFrame, split: str = "test", by: Sequence[str] | None = None) -> Figure:
    """Draw barrier in basin against the number of shared epochs, a line and a band for each condition.

    A vertical line stands at k*, the mean over seeds of the number from which on all paths hold; the bar on it is its
    t interval.

    Args:
        paths: from `query.paths`, within pairs.
        split: test, train_a or train_b.
        by: columns that make a line; None: every setting in which the paths differ.
    """
    title = f"Barrier by parting, {SPLIT_LABELS.get(split, split)} data; {BAND}; vertical: k*, from which on all hold"
    barrier = f"{split}/barrier_in_basin"
    found = [one.rows for one in partings(paths)] if barrier in paths else []
    if not found:
        return blank_figure(title, NEEDED)
    rows = pd.concat(found)
    groups, note = readable(groups_of(rows, by, leave_out=(PARTING,)))
    with house_style():
        figure, (panel,) = panels(1, titled(title, rows, note), width=7.5, height=4.2)
        for group in groups:
            _draw(panel, group, barrier)
        ticks = sorted(rows[PARTING].unique())
        panel.axhline(
            FLAT_BELOW, color="black", linestyle="--", linewidth=0.8, label=f"no barrier up to {FLAT_BELOW:g}"
        )
        panel.set_xscale("symlog", linthresh=1)
        panel.xaxis.set_major_locator(FixedLocator([float(tick) for tick in ticks]))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.set(xlabel="epochs that both sides share before they part", ylabel="barrier in basin (nats per sample)")
        panel.set_ylim(bottom=0)
        shared_legend(figure, [panel])
    return figure


def _draw(panel: Axes, group: Group, barrier: str) -> None:
    table, color = over_seeds(group.rows, barrier, PARTING), group.style["color"]
    found = Parting(group.rows).estimate()
    epochs = float(group.rows["epochs"].astype(float).max())  # no side can share fewer than none, or more than all
    low, high = (min(max(limit, 0.0), epochs) if math.isfinite(limit) else limit for limit in found.limits())
    label = f"{group.label} ({num_text(group.rows, 'path')}), k* = {found.value:.1f} [{low:.1f}, {high:.1f}]"
    panel.plot(table[PARTING], table["mean"], label=label, **{**group.style, "markersize": 4})
    if table["n"].max() > 1:
        below, above = table["mean"] - table["deviation"], table["mean"] + table["deviation"]
        panel.fill_between(table[PARTING], below.clip(lower=0), above, color=color, alpha=0.2, linewidth=0)
    panel.axvline(found.value, color=color, linestyle=":", linewidth=1.2)
    top = float(table["mean"].max())
    panel.plot([low, high], [top, top], color=color, linewidth=1.2, marker="|")
