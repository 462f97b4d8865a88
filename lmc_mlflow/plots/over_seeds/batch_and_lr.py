"""Draws barriers (Hepburn et al., Fig. 7) and training losses (Fig. 16) by batch size and learning rate."""

from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from lmc_mlflow.findings.thresholds import LOST_BELOW
from lmc_mlflow.plots.groups import Group, groups_of, num_text, over_seeds, readable, titled
from lmc_mlflow.plots.missing import PAIRS, PATHS, blank_figure, rows_with
from lmc_mlflow.plots.over_seeds.barriers import LOST_LABEL
from lmc_mlflow.plots.score_labels import in_words, score_in
from lmc_mlflow.plots.style import (
    SPLIT_LABELS,
    grid_of_panels,
    group_style,
    house_style,
    log_scale,
    shared_legend,
)

AXES = {"batch_size": "batch size (log scale)", "lr": "learning rate (log scale)"}
SPREAD = "mean over seeds, bars: sample standard deviation"


def barrier_by_batch_and_lr(paths: pd.DataFrame, split: str = "test") -> Figure:
    """Draw barrier in basin and accuracy delta against batch size, a line for each learning rate and condition.

    Args:
        paths: from `query.paths`.
        split: test, train_a or train_b.
    """
    score = score_in(paths, f"{split}/{{}}_delta")
    barrier, delta = f"{split}/barrier_in_basin", f"{split}/{score}_delta"
    title = f"Barrier and {in_words(score)} delta, {SPLIT_LABELS.get(split, split)} data; {SPREAD}"
    rows = rows_with(paths, (barrier, delta, *AXES))
    if rows.empty:
        return blank_figure(title, PATHS)
    groups, note = readable(groups_of(rows, leave_out=tuple(AXES), always=("lr",)))
    with house_style():
        figure, ((left, right),) = grid_of_panels(1, 2, titled(title, rows, note))
        for number, group in enumerate(groups):
            _draw(left, group, "batch_size", barrier, _aside(number, len(groups)))
            _draw(right, group, "batch_size", delta, _aside(number, len(groups)))
        right.axhline(LOST_BELOW, color="black", linestyle=(0, (1, 1)), label=LOST_LABEL)
        left.set_ylabel("barrier in basin (nats per sample)")
        right.set_ylabel(f"{in_words(score)} delta (percentage points)")
        for panel in (left, right):
            set_log_ticks(panel, "batch_size", rows)
        shared_legend(figure, [left, right])
    return figure


def final_training_loss(endpoints: pd.DataFrame) -> Figure:
    """Draw the training loss after the last epoch, both sides averaged, against batch size and learning rate.

    Args:
        endpoints: from `query.endpoints`.
    """
    title = f"Final training loss, mean of both sides; {SPREAD}"
    rows = rows_with(endpoints, ("train/loss", *AXES))
    if rows.empty:
        return blank_figure(title, PAIRS)
    found = [readable(groups_of(rows, leave_out=tuple(AXES), always=(other,))) for other in reversed(AXES)]
    titles = titled(title, rows, max(note for _, note in found))
    drawn = 0
    with house_style():
        figure, (panels,) = grid_of_panels(1, 2, titles, sharey=True)
        for panel, along, (groups, _) in zip(panels, AXES, found, strict=True):
            for number, group in enumerate(groups):
                # Lines of the two panels are different groups, so no style is used twice.
                styled = replace(group, style=group_style(drawn + number))
                _draw(panel, styled, along, "train/loss", _aside(number, len(groups)))
            drawn += len(groups)
            set_log_ticks(panel, along, rows)
        panels[0].set_ylabel("final training loss (nats per sample)")
        log_scale(panels[0], rows["train/loss"])
        shared_legend(figure, panels)
    return figure


def _draw(panel: Axes, group: Group, along: str, value: str, aside: float) -> None:
    scale = 100 if value.endswith("_delta") else 1
    per_place = [over_seeds(part, value, along) for _, part in group.rows.groupby(along, sort=True)]
    table = pd.concat(per_place)
    smallest, largest = int(table["n"].min()), int(table["n"].max())
    spread = scale * table["deviation"].fillna(0.0) if largest > 1 else None
    panel.errorbar(
        table[along] * aside,
        scale * table["mean"],
        yerr=spread,
        capsize=3,
        markersize=5,
        linewidth=1.4,
        label=f"{group.label} ({_num_text(group, smallest, largest, len(table))})",
        **group.style,
    )


def _num_text(group: Group, smallest: int, largest: int, places: int) -> str:
    if places == 1:
        return num_text(group.rows, "run")
    between = str(largest) if smallest == largest else f"{smallest} to {largest}"
    return f"n = {between} {'seed' if largest == 1 else 'seeds'} per point"


def _aside(number: int, groups: int) -> float:
    """Return a factor near 1 that moves a group's bars beside those of the others on a logarithmic axis."""
    return float(1.03 ** (number - (groups - 1) / 2))


def set_log_ticks(panel: Axes, along: str, rows: pd.DataFrame) -> None:
    """Make the horizontal axis logarithmic, with a tick at each batch size or rate.

    Args:
        panel: whose axis.
        along: a row of `AXES`.
        rows: with that column.
    """
    places = sorted(rows[along].astype(float).unique())
    panel.set(xscale="log", xlabel=AXES[along], xlim=(places[0] / 1.6, places[-1] * 1.6))
    panel.xaxis.set_major_locator(FixedLocator(places))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda place, _: f"{place:g}"))
    panel.xaxis.set_minor_locator(NullLocator())
