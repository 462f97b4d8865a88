"""Draws barriers (Hepburn et al., Fig. 7) and training losses (Fig. 16) by batch size and learning rate."""

from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.findings.conditions import CONDITIONS, counted, distinguishing
from lmc_mlflow.findings.thresholds import LOST_BELOW
from lmc_mlflow.plots.encoding import Encoding
from lmc_mlflow.plots.facets import MOST_ENTRIES, PANELS_ACROSS, POINT, Facet, facets_of
from lmc_mlflow.plots.groups import Group, groups_of, learnt_only, num_text, over_seeds, readable, titled
from lmc_mlflow.plots.missing import PAIRS, PATHS, blank_figure, rows_with
from lmc_mlflow.plots.numbers import draw_numbers, num_per_point
from lmc_mlflow.plots.over_seeds.barriers.by_model import LOST_LABEL
from lmc_mlflow.plots.score_labels import in_words, score_in
from lmc_mlflow.plots.style import (
    SPLIT_LABELS,
    grid_of_panels,
    house_style,
    log_scale,
    shared_legend,
)

AXES = {"batch_size": "batch size (log scale)", "lr": "learning rate (log scale)"}
ANOTHER_VALUE = (
    f"One batch size and one learning rate only in the store yet: {RUN} train_pair -P batch_size=256 -P seeds=1,20"
)
SPREAD = "mean over seeds, bars: sample standard deviation, numbers: seeds"


def barrier_by_batch_and_lr(paths: pd.DataFrame, split: str = "test") -> Figure:
    """Draw barrier in basin and accuracy delta against batch size, a line for each learning rate and condition.

    Of paths of one batch size alone they are drawn against the learning rate.

    Args:
        paths: from `query.paths`.
        split: test, train_a or train_b.
    """
    score = score_in(paths, f"{split}/{{}}_delta")
    barrier, delta = f"{split}/barrier_in_basin", f"{split}/{score}_delta"
    title = f"Barrier and {in_words(score)} delta, {SPLIT_LABELS.get(split, split)} data; {SPREAD}"
    rows, left_out = learnt_only(rows_with(paths, (barrier, delta, *AXES)), split)
    if rows.empty:
        return blank_figure(title, PATHS)
    along = next((name for name in AXES if rows[name].nunique() > 1), None)
    if along is None:
        return blank_figure(title, ANOTHER_VALUE)
    other = [name for name in AXES if name != along]
    groups, note = readable(groups_of(rows, leave_out=tuple(AXES), always=tuple(other)))
    with house_style():
        figure, ((left, right),) = grid_of_panels(1, 2, titled(title, rows, note + left_out))
        for number, group in enumerate(groups):
            _draw(left, group, along, barrier, _aside(number, len(groups)))
            _draw(right, group, along, delta, _aside(number, len(groups)))
        right.axhline(LOST_BELOW, color="black", linestyle=(0, (1, 1)), label=LOST_LABEL)
        left.set_ylabel("barrier in basin (nats per sample)")
        right.set_ylabel(f"{in_words(score)} delta (percentage points)")
        for panel in (left, right):
            set_log_ticks(panel, along, rows)
        shared_legend(figure, [left, right])
    return figure


def final_training_loss(endpoints: pd.DataFrame) -> Figure:
    """Draw the training loss after the last epoch, both sides averaged, against batch size and learning rate.

    An axis is drawn where the networks have more than one value on it.
    Every setting besides network, batch size and rate in which the networks differ has panels of its own. Those with
    one batch size and one rate alone are left out where others have more.

    Args:
        endpoints: from `query.endpoints`.
    """
    title = f"Final training loss, mean of both sides; {SPREAD}"
    rows = rows_with(endpoints, ("train/loss", *AXES))
    if rows.empty:
        return blank_figure(title, PAIRS)
    axes = [name for name in AXES if rows[name].nunique() > 1]
    if not axes:
        return blank_figure(title, ANOTHER_VALUE)
    values = sum(rows[name].nunique() for name in AXES)
    few_models = rows["model"].nunique() + values <= MOST_ENTRIES
    point = POINT if few_models else POINT[1:]
    rows, left_out = _compared(rows, point)
    facets, note = facets_of(rows, point=point)
    with house_style():
        figure, grid = _panels_of_losses(len(facets), len(axes), titled(title, rows, note + left_out))
        by_rate = Encoding(rows, ("lr",), ("lr",), models=few_models)
        by_size = Encoding(rows, ("batch_size",), ("batch_size",), start=by_rate.num_colors, models=few_models)
        encodings = [{"batch_size": by_rate, "lr": by_size}[along] for along in axes]
        for facet, panels in zip(facets, grid, strict=True):
            for panel, along, encoding in zip(panels, axes, encodings, strict=True):
                _draw_losses(panel, facet, along, encoding)
                set_log_ticks(panel, along, rows)
            panels[0].set_ylabel("final training loss (nats)")
            log_scale(panels[0], facet.rows["train/loss"])
        for panel, encoding in zip(grid[0], encodings, strict=True):
            encoding.add_entries(panel)
            panel.margins(y=0.12)
        shared_legend(figure, grid[0])
    return figure


def _compared(rows: pd.DataFrame, point: tuple[str, ...]) -> tuple[pd.DataFrame, str]:
    """Select the conditions that have several batch sizes or rates, all where none has, and say how many are left."""
    names = distinguishing(rows, [name for name in CONDITIONS if name not in point])
    if not names:
        return rows, ""
    several = rows.groupby(names, dropna=False)[list(AXES)].transform("nunique").gt(1).any(axis=1)
    if several.all() or not several.any():
        return rows, ""
    number = rows.loc[~several, names].drop_duplicates().shape[0]
    return rows[several], f"\n{counted(number, 'condition')} of one batch size and one rate alone left out"


def _panels_of_losses(facets: int, axes: int, title: str) -> tuple[Figure, list[list[Axes]]]:
    """Make the panels of each facet: a row where there are two axes, else one panel, several of them in a row."""
    if axes > 1:
        return grid_of_panels(facets, axes, title, sharex="col", sharey="row", height=3.0)
    across = min(PANELS_ACROSS, facets)
    figure, grid = grid_of_panels(-(-facets // across), across, title, height=3.4)
    flat = [panel for line in grid for panel in line]
    for panel in flat[facets:]:
        panel.set_axis_off()
    return figure, [[panel] for panel in flat[:facets]]


def _draw_losses(panel: Axes, facet: Facet, along: str, encoding: Encoding) -> None:
    groups = groups_of(facet.rows, leave_out=tuple(AXES), always=("model", *(name for name in AXES if name != along)))
    for number, group in enumerate(groups):
        _draw(
            panel,
            replace(group, label="", style=encoding.of(group.rows)),
            along,
            "train/loss",
            _aside(number, len(groups)),
        )
    panel.set_title(facet.title, fontsize="small")


def _draw(panel: Axes, group: Group, along: str, value: str, aside: float) -> None:
    scale = 100 if value.endswith("_delta") else 1
    per_place = [over_seeds(part, value, along) for _, part in group.rows.groupby(along, sort=True)]
    table = pd.concat(per_place)
    spread = scale * table["deviation"].fillna(0.0) if table["n"].max() > 1 else None
    number = num_text(group.rows, "run") if len(table) == 1 else num_per_point(table["n"])
    panel.errorbar(
        table[along] * aside,
        scale * table["mean"],
        yerr=spread,
        capsize=3,
        markersize=5,
        linewidth=1.4,
        label=f"{group.label} ({number})" if group.label else None,
        **group.style,
    )
    draw_numbers(panel, table[along] * aside, table, group.style["color"], scale)


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
