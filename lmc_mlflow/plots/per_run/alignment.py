"""Figures of paths with and without alignment: one path, over seeds, and by width."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.config.alignment import METHOD_OPTIONS
from lmc_mlflow.models.families import facts_of
from lmc_mlflow.paths.intervals import Intervals
from lmc_mlflow.paths.measures import MEASURES
from lmc_mlflow.plots.groups import by_dataset, num_text, over_seeds, titled
from lmc_mlflow.plots.missing import ALIGNED, blank_figure, rows_with
from lmc_mlflow.plots.per_run.paths import draw_verdict
from lmc_mlflow.plots.score_labels import measures_in, score_in
from lmc_mlflow.plots.style import SPLIT_LABELS, alpha_axis, grid_of_panels, house_style, panels, shared_legend

NOT_ALIGNED = "not aligned"
NOT_ALIGNED_STYLE: dict[str, Any] = {"color": "#c8641a", "linestyle": "--", "marker": "s", "markerfacecolor": "white"}
METHOD_STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#1b4f8f", "linestyle": "-", "marker": "o"},
    {"color": "#5a9e3a", "linestyle": ":", "marker": "^"},
    {"color": "#8a4f9e", "linestyle": "-.", "marker": "D"},
    {"color": "#3f3f3f", "linestyle": (0, (5, 1)), "marker": "v"},
    {"color": "#b0417c", "linestyle": (0, (3, 1, 1, 1)), "marker": "P"},
)
"""Styles of the methods of alignment in the order of their table, again from the first where they do not suffice."""


def styles() -> dict[str, dict[str, Any]]:
    """Give each method its style, and paths without alignment theirs: the same in every figure."""
    return {NOT_ALIGNED: NOT_ALIGNED_STYLE, **dict(zip(METHOD_OPTIONS, itertools.cycle(METHOD_STYLES), strict=False))}


def aligned_path_figure(
    aligned: pd.DataFrame,
    plain: pd.DataFrame,
    title: str,
    method: str = "weights",
    ends: tuple[str, str] = ("", ""),
    intervals: Mapping[str, Intervals] | None = None,
    thresholds: tuple[float, float] | None = None,
) -> Figure:
    """Draw loss and accuracy against alpha of both paths (Sonthalia et al., Fig. 2); training sides in thin lines.

    Intervals and thresholds are those of the aligned path.

    Args:
        aligned: columns alpha, split, loss, accuracy (or average_precision): the content of `path.json`.
        plain: the content of `path_unaligned.json`.
        title: over the figure.
        method: by which B was aligned.
        ends: what the networks at alpha 0 and 1 are, such as `seed 1 A`.
        intervals: split -> field of `PathSummary` -> interval over samples; None: no bars.
        thresholds: barrier in basin (nats) and accuracy delta (a fraction) beyond which the path is broken.
    """
    names = measures_in(aligned)
    splits = [str(split) for split in dict.fromkeys(aligned["split"])]
    with house_style():
        figure, axes = panels(len(names), title)
        for how, table in ((NOT_ALIGNED, plain), (method, aligned)):
            for split in splits:
                rows = table[table["split"] == split].sort_values("alpha")
                style = _line_style(how, split, splits[0])
                for panel, name in zip(axes, names, strict=True):
                    panel.plot(rows["alpha"], MEASURES[name].factor * rows[name], **style)
        draw_verdict(axes[0], axes[1], aligned, intervals or {}, thresholds)
        _name_axes(axes, names, ends)
        shared_legend(figure, axes[:1])
    return figure


def _line_style(method: str, split: str, first: str) -> dict[str, Any]:
    """The first split (test) in full, training sides thin and without markers."""
    style, label = styles()[method], f"{_label(method)}, {SPLIT_LABELS.get(split, split)}"
    if split == first:
        return {**style, "label": label, "markersize": 4, "linewidth": 1.6}
    dashes: Any = {"train_a": (0, (1, 1)), "train_b": (0, (4, 1, 1, 1))}.get(split, "-")
    return {"color": style["color"], "label": label, "linewidth": 1.0, "linestyle": dashes}


def _label(method: str) -> str:
    return method if method == NOT_ALIGNED else f"aligned by {method}"


def _name_axes(axes: list[Axes], names: list[str], ends: tuple[str, str] = ("", "")) -> None:
    for panel, name in zip(axes, names, strict=True):
        panel.set(xlabel=alpha_axis(ends), ylabel=MEASURES[name].axis_label)


def aligned_over_seeds(aligned: pd.DataFrame, plain: pd.DataFrame, split: str = "test") -> Figure:
    """Draw paths with and without alignment, mean and deviation over pairs of networks; a column for each network.

    Args:
        aligned: from `query.path_curves`, of paths with `align`.
        plain: from `query.path_curves(..., unaligned=True)`, of the same paths.
        split: test, train_a or train_b.
    """
    name = SPLIT_LABELS.get(split, split)
    title = f"Up to permutation, {name} data; mean over pairs of networks, band: sample standard deviation"
    score = score_in(aligned)
    both = _both(aligned, plain, split, ("alpha", "split", "loss", score, "model", "dataset"))
    if both.empty:
        return blank_figure(title, ALIGNED)
    columns = [(model, rows) for _, part in by_dataset(both) for model, rows in _by_width(part)]
    with house_style():
        figure, axes = grid_of_panels(2, len(columns), titled(title, both), width=3.4, height=2.9)
        for column, (model, rows) in enumerate(columns):
            for method in [method for method in styles() if method in set(rows["method"])]:
                _draw(axes[0][column], rows[rows["method"] == method], method, "loss", 1)
                _draw(axes[1][column], rows[rows["method"] == method], method, score, 100)
            axes[0][column].set_title(f"{rows['dataset'].iloc[0]} {model} ({num_text(rows, 'path')})", fontsize="small")
            _name_axes([axes[0][column], axes[1][column]], ["loss", score])
        shared_legend(figure, [panel for row in axes for panel in row])
    return figure


def _both(aligned: pd.DataFrame, plain: pd.DataFrame, split: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """The points of both, with the method as a column."""
    parts = []
    for table, is_plain in ((aligned, False), (plain, True)):
        rows = rows_with(table, columns)
        if len(rows):
            parts.append(rows.assign(method=NOT_ALIGNED if is_plain else rows["align"]))
    if not parts:
        return pd.DataFrame()
    points = pd.concat(parts, ignore_index=True)
    kept = points[(points["split"] == split) & points["method"].isin(list(styles()))]
    return kept.assign(alpha=kept["alpha"].astype(float).round(6))


def _draw(panel: Axes, rows: pd.DataFrame, method: str, value: str, scale: int) -> None:
    table = over_seeds(rows, value, "alpha")
    mean, deviation = scale * table["mean"], scale * table["deviation"]
    style = {**styles()[method], "markersize": 3.5, "linewidth": 1.4, "label": _label(method)}
    panel.plot(table["alpha"], mean, markevery=max(1, len(table) // 10), **style)
    if table["n"].max() > 1:
        panel.fill_between(
            table["alpha"], mean - deviation, mean + deviation, color=style["color"], alpha=0.2, linewidth=0
        )


def _by_width(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """One part for each network, MLPs in the order of their widths."""
    return sorted(((str(name), part) for name, part in rows.groupby("model")), key=lambda item: _order(item[0]))


def _order(model: str) -> tuple[int, str]:
    facts = facts_of(model)
    return (facts.widths[0] if facts.family == "MLP" else 10**9, model)


def aligned_by_width(paths: pd.DataFrame, split: str = "test") -> Figure:
    """Draw the barriers of paths with and without alignment against width: boxes, and every path as a point.

    Args:
        paths: from `query.paths`; only those with `align` are drawn.
        split: test, train_a or train_b.
    """
    value = f"{split}/barrier"
    title = f"Barriers up to permutation, {SPLIT_LABELS.get(split, split)} data; box: quartiles, every path a point"
    rows = rows_with(paths, (value, f"unaligned/{value}", "align", "model", "dataset"))
    rows = rows[rows["align"].isin(list(styles()))] if len(rows) else rows
    if rows.empty:
        return blank_figure(title, ALIGNED)
    parts = list(by_dataset(rows))
    with house_style():
        widest = max(part["model"].nunique() for _, part in parts)
        width = max(6.4, 1.1 * widest)
        figure, (axes,) = grid_of_panels(1, len(parts), titled(title, rows), width=width)
        for panel, (dataset, part) in zip(axes, parts, strict=True):
            _boxes(panel, part, value)
            panel.set(ylabel="barrier (nats per sample)", title=dataset if len(parts) > 1 else "")
        shared_legend(figure, axes)
    return figure


def _boxes(panel: Axes, rows: pd.DataFrame, value: str) -> None:
    """For each network the paths that are not aligned, then those of each method, side by side."""
    methods = [method for method in styles() if method == NOT_ALIGNED or method in set(rows["align"])]
    models = _by_width(rows)
    room = 0.8 / len(methods)
    for i, method in enumerate(methods):
        for position, (_, part) in enumerate(models):
            own = part[f"unaligned/{value}"] if method == NOT_ALIGNED else part.loc[part["align"] == method, value]
            if method == NOT_ALIGNED:
                own = own[~part.duplicated(["run_a", "run_b", "bn"])]
            at = position + (i - (len(methods) - 1) / 2) * room
            label = None if position else _label(method)
            _box(panel, own.to_numpy(dtype=float), at, room, styles()[method], label)
    panel.set_xticks(range(len(models)), [_width_label(model) for model, _ in models])
    panel.set_xlabel("width" if all(facts_of(model).family == "MLP" for model, _ in models) else "network")
    panel.axhline(0, color="0.4", linewidth=0.8)


def _box(
    panel: Axes, values: "np.ndarray[Any, Any]", at: float, room: float, style: dict[str, Any], label: str | None
) -> None:
    if len(values) > 3:
        panel.boxplot(
            values,
            positions=[at],
            widths=0.7 * room,
            showfliers=False,  # every path is drawn below, those outside the whiskers too
            manage_ticks=False,
            medianprops={"color": style["color"]},
            boxprops={"color": style["color"]},
            whiskerprops={"color": style["color"]},
            capprops={"color": style["color"]},
        )
    spread = 0.2 * room * np.linspace(-1, 1, len(values)) if len(values) > 1 else np.zeros(len(values))
    points = {**style, "linestyle": "none", "markersize": 4, "alpha": 0.75}
    panel.plot(at + spread, values, label=label, **points)


def _width_label(model: str) -> str:
    facts = facts_of(model)
    return "\n".join([facts.widths_text, facts.variant]).replace("_", "\n").strip() if facts.family == "MLP" else model
