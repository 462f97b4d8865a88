"""Draws curves over seeds: learning curves (Hepburn et al., Figs. 5, 20, 21) and paths (Figs. 5, 8, 11, 12)."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.paths.measures import LOSS, MEASURES
from lmc_mlflow.plots.groups import Group, by_dataset, groups_of, num_text, over_seeds, readable, titled
from lmc_mlflow.plots.missing import PAIRS, PATHS, blank_figure, rows_with
from lmc_mlflow.plots.score_labels import measures_in, score_in
from lmc_mlflow.plots.style import ALPHA_AXIS, SPLIT_LABELS, grid_of_panels, house_style, log_scale, shared_legend

BAND = "mean over seeds, band: sample standard deviation"


def learning_over_seeds(curves: pd.DataFrame, side: str | None = None, by: Sequence[str] | None = None) -> Figure:
    """Draw training and test loss and accuracy against epochs, one curve for each condition.

    Args:
        curves: from `query.learning_curves`.
        side: A or B; None: the mean of both sides of a seed.
        by: columns that make a condition; None: whatever sets the runs apart.
    """
    whose = f"side {side}" if side else "mean of both sides"
    title = f"Learning curves, {whose}; {BAND}"
    score = score_in(curves)
    rows = rows_with(curves, ("epoch", "split", "side", "loss", score, "dataset"))
    rows = rows[rows["side"] == side] if side and len(rows) else rows
    if rows.empty:
        return blank_figure(title, PAIRS)
    groups, note = readable(groups_of(rows, by))
    splits = [name for name in ("train", "test") if name in set(rows["split"])]
    with house_style():
        figure, axes = grid_of_panels(len(splits), 2, titled(title, rows, note), height=3.0)
        for split, panels in zip(splits, axes, strict=True):
            for group in groups:
                _draw(panels, group, group.rows[group.rows["split"] == split], "epoch", [LOSS, score], "network")
            _name(panels, "epoch", "training" if split == "train" else "test", [LOSS, score])
            log_scale(panels[0], rows.loc[rows["split"] == split, "loss"])
        shared_legend(figure, [panel for panels in axes for panel in panels])
    return figure


def paths_over_seeds(curves: pd.DataFrame, split: str = "test", by: Sequence[str] | None = None) -> Figure:
    """Draw every measure against alpha, one curve for each condition, a row of panels for each data set.

    Args:
        curves: from `query.path_curves`.
        split: test, train_a or train_b.
        by: columns that make a condition; None: whatever sets the paths apart.
    """
    name = SPLIT_LABELS.get(split, split)
    title = f"Paths, {name} data; {BAND}"
    score = score_in(curves)
    rows = rows_with(curves, ("alpha", "split", "loss", score, "dataset"))
    rows = rows[rows["split"] == split] if len(rows) else rows
    if rows.empty:
        return blank_figure(title, PATHS)
    rows = rows.assign(alpha=rows["alpha"].astype(float).round(6))
    groups, note = readable(groups_of(rows, by))
    datasets = [dataset for dataset, _ in by_dataset(pd.concat([group.rows for group in groups]))]
    names = measures_in(rows)
    with house_style():
        figure, axes = grid_of_panels(len(datasets), len(names), titled(title, rows, note), height=3.4)
        for dataset, panels in zip(datasets, axes, strict=True):
            for group in groups:
                _draw(panels, group, group.rows[group.rows["dataset"] == dataset], "alpha", names, "path")
            _name(panels, ALPHA_AXIS, dataset if len(datasets) > 1 else name, names)
        shared_legend(figure, [panel for panels in axes for panel in panels])
    return figure


def _draw(panels: list[Axes], group: Group, rows: pd.DataFrame, along: str, names: list[str], noun: str) -> None:
    if rows.empty:
        return
    label = f"{group.label} ({num_text(rows, noun)})"
    for panel, name in zip(panels, names, strict=True):
        table, factor = over_seeds(rows, name, along), MEASURES[name].factor
        mean, deviation = factor * table["mean"], factor * table["deviation"]
        style: dict[str, Any] = {**group.style, "markersize": 3.5, "linewidth": 1.4}
        panel.plot(table[along], mean, label=label, markevery=max(1, len(table) // 20), **style)
        if table["n"].max() > 1:
            panel.fill_between(
                table[along], mean - deviation, mean + deviation, color=group.style["color"], alpha=0.2, linewidth=0
            )


def _name(panels: list[Axes], along: str, what: str, names: list[str]) -> None:
    for panel, name in zip(panels, names, strict=True):
        panel.set(xlabel=along, ylabel=f"{what}: {MEASURES[name].axis_label}")
