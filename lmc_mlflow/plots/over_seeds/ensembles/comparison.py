"""Draws scores of ensembles: points of a path against seeds (Hepburn et al., Table III), and by size."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lmc_mlflow.findings.conditions import PLAIN, counted
from lmc_mlflow.plots.groups import Group, groups_of, readable, titled
from lmc_mlflow.plots.missing import ENSEMBLES, blank_figure, rows_with
from lmc_mlflow.plots.style import grid_of_panels, house_style, rows_of_labels, shared_legend

SCORES = {
    "wrong_agreement": ("wrong agreement WA", 1),
    "wrong_disagreement": ("wrong disagreement WD", 1),
    "majority_vote_accuracy": ("majority vote (%)", 100),
    "mean_prediction_accuracy": ("averaged predictions (%)", 100),
    "cost/train_seconds": ("training of all members (s)", 1),
}
SAMPLINGS: dict[str, dict[str, Any]] = {
    "lmc": {"color": "#1b4f8f", "fmt": "o", "markerfacecolor": "#1b4f8f"},
    "seeds": {"color": "#c8641a", "fmt": "s", "markerfacecolor": "white"},
    "star": {"color": "#5a9e3a", "fmt": "D", "markerfacecolor": "#5a9e3a"},
    "curve": {"color": "#8a4f9e", "fmt": "v", "markerfacecolor": "#8a4f9e"},
}
BY_SIZE = {
    "auroc_max_probability": "AUROC by highest probability",
    "auroc_entropy": "AUROC by entropy",
    "ece": "expected calibration error",
}
BANDS = {
    "accuracy": ("accuracy_low", "accuracy_high", 100, "test accuracy (%)"),
    "value": ("low", "high", 1, ""),
}
"""Column drawn against the size -> both ends of its band, its scale, its label."""
METHODS = {"mean_prediction": "averaged predictions", "majority_vote": "majority vote"}


def ensemble_comparison(ensembles: pd.DataFrame) -> Figure:
    """Draw wrong agreement and disagreement, accuracies and cost of every ensemble, with bootstrap intervals.

    Args:
        ensembles: from `query.ensembles`.
    """
    title = "Ensembles of one path (lmc) and of seeds; bars: bootstrap over test samples, 95 % by default"
    names = [name for name in SCORES if name in ensembles and ensembles[name].notna().any()]
    rows = rows_with(ensembles, ("sampling", "num_members", "wrong_agreement"))
    if rows.empty:
        return blank_figure(title, ENSEMBLES)
    groups = _groups(rows)
    with house_style():
        labels = [f"{group.label} (n = {counted(len(group.rows), 'ensemble')})" for group in groups]
        figure, panels = rows_of_labels(labels, len(names), titled(title, rows), width=2.6)
        for panel, name in zip(panels, names, strict=True):
            for place, group in enumerate(groups):
                _row(panel, group, place, name)
            panel.set_xlabel(SCORES[name][0])
            panel.xaxis.set_major_locator(MaxNLocator(4))
        shared_legend(figure, panels)
    return figure


def accuracy_by_size(sizes: pd.DataFrame) -> Figure:
    """Draw the accuracy of random subsets against their size, a line for each ensemble, with the band that was logged.

    Args:
        sizes: from `query.ensemble_sizes`.
    """
    title = "Accuracy against ensemble size; band: random subsets of the members"
    rows = rows_with(sizes, ("run_id", "size", "method", "accuracy", "sampling"))
    return _by_size(rows, title, "accuracy", ("method", METHODS), {"sharey": True})


def scores_by_size(sizes: pd.DataFrame) -> Figure:
    """Draw AUROC and calibration error of random subsets against their size (Sonthalia et al., Fig. 5).

    Args:
        sizes: from `query.ensemble_scores`.
    """
    title = "Uncertainty against ensemble size; band: random subsets of the members"
    rows = rows_with(sizes, ("run_id", "size", "score", "value", "sampling"))
    return _by_size(rows, title, "value", ("score", BY_SIZE), {"width": 3.6})


def _by_size(
    rows: pd.DataFrame, title: str, value: str, kinds: tuple[str, Mapping[str, str]], options: Mapping[str, Any]
) -> Figure:
    """Draw a value of random subsets against their size: a line for each ensemble, a panel for each kind of value.

    Args:
        rows: of all ensembles and kinds; where there are none, the figure says what is missing.
        title: over the figure.
        value: a row of `BANDS`.
        kinds: the column that holds the kind, and the title of each kind's panel.
        options: of the grid of panels.
    """
    if rows.empty:
        return blank_figure(title, ENSEMBLES)
    column, titles = kinds
    groups, note = readable(_groups(rows))
    present = [name for name in titles if name in set(rows[column])]
    with house_style():
        figure, (panels,) = grid_of_panels(1, len(present), titled(title, rows, note), **options)
        for panel, name in zip(panels, present, strict=True):
            for group in groups:
                _lines(panel, group, group.rows[group.rows[column] == name], value)
            panel.set(xlabel="number of members", title=titles[name])
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panels[0].set_ylabel(BANDS[value][3])
        shared_legend(figure, panels)
    return figure


def _groups(rows: pd.DataFrame) -> list[Group]:
    """Group ensembles by condition; the batch-norm policy counts for points of a path only."""
    leave_out: tuple[str, ...] = ()
    if "bn" in rows:
        path = rows["sampling"].isin(("lmc", "curve"))
        rows = rows.assign(bn=rows["bn"].where(path, ""))
        leave_out = ("bn",) if set(rows.loc[path, "bn"]) <= {PLAIN["bn"]} else ()
    return groups_of(rows, leave_out=leave_out, always=("sampling", "num_members"))


def _row(panel: Axes, group: Group, place: int, name: str) -> None:
    sampling = str(group.rows["sampling"].iloc[0])
    scale = SCORES[name][1]
    step = 0.5 / max(1, len(group.rows))
    start = place - step * (len(group.rows) - 1) / 2
    for i, (_, row) in enumerate(group.rows.iterrows()):
        value = scale * float(row[name])
        low, high = (scale * float(row.get(f"{name}_{end}", np.nan)) for end in ("low", "high"))
        spread = [[value - low], [high - value]] if np.isfinite([low, high]).all() else None
        panel.errorbar(
            value, start + i * step, xerr=spread, capsize=3, markersize=6, label=sampling, **_style(sampling)
        )


def _style(sampling: str) -> dict[str, Any]:
    return SAMPLINGS.get(sampling, {"color": "black", "fmt": "^", "markerfacecolor": "none"})


def _lines(panel: Axes, group: Group, rows: pd.DataFrame, value: str) -> None:
    low, high, scale, _ = BANDS[value]
    label: str | None = f"{group.label} (n = {counted(group.rows['run_id'].nunique(), 'ensemble')})"
    for _, line in rows.sort_values("size").groupby("run_id", sort=False):
        panel.plot(line["size"], scale * line[value], label=label, markersize=4, linewidth=1.4, **group.style)
        label = None
        if {low, high} <= set(line):
            panel.fill_between(
                line["size"],
                scale * line[low],
                scale * line[high],
                color=group.style["color"],
                alpha=0.2 / math.sqrt(rows["run_id"].nunique()),
                linewidth=0,
            )
