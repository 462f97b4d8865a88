"""Draws MLPs side by side: paths by shift and variant (Hepburn et al., Fig. 19), learning by scaling (Figs. 20, 21)."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.data.datasets import DATASETS
from lmc_mlflow.findings.conditions import CONDITIONS, describe_all, distinguishing
from lmc_mlflow.models.families import facts_of
from lmc_mlflow.paths.measures import LOSS, MEASURES
from lmc_mlflow.plots.facets import title_lines
from lmc_mlflow.plots.groups import num_text, over_seeds, titled
from lmc_mlflow.plots.missing import PAIRS, PATHS, blank_figure, rows_with
from lmc_mlflow.plots.over_seeds.curves import BAND
from lmc_mlflow.plots.score_labels import score_in
from lmc_mlflow.plots.style import (
    ALPHA_AXIS,
    LINES,
    SPLIT_LABELS,
    grid_of_panels,
    group_style,
    house_style,
    shared_legend,
)

DEPTH, VARIANT = "depth", "variant"
"""Columns with facts of a network: its hidden layers, and what stands between them."""
VARIANTS = {"": "plain", "bn": "batch norm", "dropout": "dropout", "bn_dropout": "batch norm and dropout"}
"""Variant -> its name in a legend, in the order of the colours."""
MOST_ROWS = 6
TITLE_WIDTH = 44
"""Characters of a line of a panel's title."""


@dataclass(frozen=True)
class _Curves:
    """How the curves of a figure are drawn.

    Attributes:
        along: column of the horizontal axis.
        axis: its label.
        line: column that the line style shows, with the names of its values.
        noun: what a run is called.
    """

    along: str
    axis: str
    line: str
    names: Mapping[str, str]
    noun: str


@dataclass(frozen=True)
class _Panel:
    """A panel, and what it holds: the settings of its row, the depth of its networks, and the measure."""

    axes: Axes
    settings: Mapping[str, Any]
    depth: int
    measure: str


def paths_by_variant(curves: pd.DataFrame, split: str = "test") -> Figure:
    """Draw the paths of MLPs: a row for each data set, columns for each depth; colours are what stands between layers.

    The line is the shift: full for 50/50, broken for others.

    Args:
        curves: from `query.path_curves`; other networks than MLPs are left out.
        split: test, train_a or train_b.
    """
    title = f"Paths of MLPs by shift, {SPLIT_LABELS.get(split, split)} data; {BAND}"
    rows = _mlps(rows_with(curves, ("alpha", "split", "model", "shift", "dataset", LOSS, score_in(curves))))
    rows = rows[rows["split"] == split] if len(rows) else rows
    if rows.empty:
        return blank_figure(title, PATHS)
    rows = rows.assign(alpha=rows["alpha"].astype(float).round(6))
    shifts = sorted(rows["shift"].astype(str).unique(), key=lambda shift: (shift != "label_5050", shift))
    kind = _Curves("alpha", ALPHA_AXIS, "shift", {shift: shift for shift in shifts}, "path")
    with house_style():
        figure, panels = _grid(rows, title, kind)
        shared_legend(figure, [panel.axes for panel in panels])
    return figure


def learning_by_scaling(curves: pd.DataFrame, side: str = "A", printed: Mapping[str, float] | None = None) -> Figure:
    """Draw the learning curves of MLPs: a row for each scaling, columns for each depth; the line is the split.

    Args:
        curves: from `query.learning_curves`; other networks than MLPs are left out.
        side: A or B; the paper shows one subset.
        printed: scaling -> training accuracy in percent that a paper prints for one hidden layer; it is marked.
    """
    title = f"Learning curves of MLPs by scaling of the images, side {side}; {BAND}"
    needed = ("epoch", "split", "side", "model", "normalization", "dataset", LOSS, score_in(curves))
    rows = _mlps(rows_with(curves, needed))
    rows = rows[rows["side"] == side] if len(rows) else rows
    if rows.empty:
        return blank_figure(title, PAIRS)
    kind = _Curves("epoch", "epoch", "split", {"train": "training", "test": "test"}, "network")
    with house_style():
        figure, panels = _grid(rows, title, kind, always=("normalization",))
        for panel in panels:
            accuracy = (printed or {}).get(str(panel.settings["normalization"]))
            if accuracy is not None and panel.depth == 1 and panel.measure != LOSS and panel.axes.lines:
                label = "training accuracy in the text of the paper"
                panel.axes.axhline(accuracy, color="black", linestyle=(0, (1, 1)), linewidth=1.2, label=label)
        shared_legend(figure, [panel.axes for panel in panels])
    return figure


def _mlps(rows: pd.DataFrame) -> pd.DataFrame:
    """Select the MLPs whose variant has a name, with the facts that panels and lines are made from."""
    if rows.empty:
        return rows
    facts = [facts_of(str(model)) for model in rows["model"]]
    rows = rows.assign(**{DEPTH: [one.depth for one in facts]}, **{VARIANT: [one.variant for one in facts]})
    return rows[[one.family == "MLP" and one.variant in VARIANTS for one in facts]]


def _grid(rows: pd.DataFrame, title: str, kind: _Curves, always: Sequence[str] = ()) -> tuple[Figure, list[_Panel]]:
    """Draw a row of panels for each condition: loss and score of every depth.

    Args:
        rows: of MLPs.
        title: over the figure.
        kind: of the curves.
        always: settings besides the data set that make a row even where all runs share them.
    """
    fixed = ("dataset", *always)
    others = distinguishing(rows, [name for name in CONDITIONS if name not in (*fixed, "model", kind.line)])
    names = [*fixed, *others]
    parts = sorted(rows.groupby(names, dropna=False, sort=True), key=lambda part: _place_of_dataset(part[0][0]))
    more = len(parts) > MOST_ROWS
    note = f"\nthe first {MOST_ROWS} of {len(parts)} conditions; the others are not drawn" if more else ""
    parts = parts[:MOST_ROWS]
    columns = [(int(depth), name) for depth in sorted(rows[DEPTH].unique()) for name in (LOSS, score_in(rows))]
    size: dict[str, Any] = {"width": 3.7, "height": 3.1, "sharex": True}
    figure, grid = grid_of_panels(len(parts), len(columns), titled(title, rows, note), **size)
    panels = []
    for (key, part), line in zip(parts, grid, strict=True):
        settings = dict(zip(names, key, strict=True))
        for (depth, measure), axes in zip(columns, line, strict=True):
            panels.append(_Panel(axes, settings, depth, measure))
            _draw(panels[-1], part[part[DEPTH] == depth], kind)
            layers = f"{depth} hidden layer{'' if depth == 1 else 's'}"
            condition = title_lines(describe_all(names, key), TITLE_WIDTH)
            axes.set_title("\n".join([*condition, layers]), fontsize="small")
            axes.set_ylabel(MEASURES[measure].axis_label)
    for axes in grid[-1]:
        axes.set_xlabel(kind.axis)
    return figure, panels


def _place_of_dataset(dataset: Hashable) -> int:
    """Give the place of a data set in the table of data sets, MNIST before CIFAR-10."""
    names = list(DATASETS)
    return names.index(str(dataset)) if dataset in names else len(names)


def _draw(panel: _Panel, rows: pd.DataFrame, kind: _Curves) -> None:
    if rows.empty:
        panel.axes.text(0.5, 0.5, f"no {kind.noun} yet", ha="center", color="0.45", transform=panel.axes.transAxes)
        panel.axes.set_yticks([])
        return
    factor = MEASURES[panel.measure].factor
    for number, (variant, words) in enumerate(VARIANTS.items()):
        color = group_style(number)["color"]
        for place, (value, name) in enumerate(kind.names.items()):
            own = rows[(rows[VARIANT] == variant) & (rows[kind.line] == value)]
            if own.empty:
                continue
            table = over_seeds(own, panel.measure, kind.along)
            mean, deviation = factor * table["mean"], factor * table["deviation"]
            label = f"{words}, {name} ({num_text(own, kind.noun)})"
            style = {"color": color, "linestyle": LINES[place % len(LINES)], "linewidth": 1.4}
            panel.axes.plot(table[kind.along], mean, label=label, **style)
            if table["n"].max() > 1:
                low, high = mean - deviation, mean + deviation
                panel.axes.fill_between(table[kind.along], low, high, color=color, alpha=0.2, linewidth=0)
