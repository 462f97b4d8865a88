"""What do exchanged units change? The naive path beside the aligned one, one by one, over seeds, and against width."""

import re
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.paths.measures import MEASURES
from lmc_mlflow.plots.groups import by_dataset, num_text, over_seeds, titled
from lmc_mlflow.plots.missing import ALIGNED, blank_figure, rows_with
from lmc_mlflow.plots.over_seeds.scores import measures_in, score_in
from lmc_mlflow.plots.style import SPLIT_LABELS, grid_of_panels, house_style, panels, shared_legend

NAIVE = "naive"
WAYS: dict[str, dict[str, Any]] = {
    NAIVE: {"color": "#c8641a", "linestyle": "--", "marker": "s", "markerfacecolor": "white"},
    "weights": {"color": "#1b4f8f", "linestyle": "-", "marker": "o"},
    "activations": {"color": "#5a9e3a", "linestyle": ":", "marker": "^"},
    "sinkhorn": {"color": "#8a4f9e", "linestyle": "-.", "marker": "D"},
}
"""The same in every figure that sets them beside each other: without an alignment, and with one by this method."""
_WIDTH = re.compile(r"mlp_l\d+_w(\d+)")


def aligned_path_figure(aligned: pd.DataFrame, naive: pd.DataFrame, title: str, method: str = "weights") -> Figure:
    """Loss and accuracy against alpha of both paths (Sonthalia et al., Fig. 2); training sides in thin lines.

    Args:
        aligned: columns alpha, split, loss, accuracy (or average_precision): the content of `path.json`.
        naive: the content of `path_unaligned.json`.
        title: over the figure.
        method: by which B was aligned.
    """
    names = measures_in(aligned)
    splits = [str(split) for split in dict.fromkeys(aligned["split"])]
    with house_style():
        figure, axes = panels(len(names), title)
        for way, table in ((NAIVE, naive), (method, aligned)):
            for split in splits:
                rows = table[table["split"] == split].sort_values("alpha")
                style = _style(way, split, splits[0])
                for panel, name in zip(axes, names, strict=True):
                    panel.plot(rows["alpha"], MEASURES[name].factor * rows[name], **style)
        _name_axes(axes, names)
        shared_legend(figure, axes[:1])
    return figure


def _style(way: str, split: str, first: str) -> dict[str, Any]:
    """The first split (test) in full, training sides thin and without markers."""
    name = f"{_in_words(way)}, {SPLIT_LABELS[split]}"
    if split == first:
        return {**WAYS[way], "label": name, "markersize": 4, "linewidth": 1.6}
    dashes: Any = {"train_a": (0, (1, 1)), "train_b": (0, (4, 1, 1, 1))}.get(split, "-")
    return {"color": WAYS[way]["color"], "label": name, "linewidth": 1.0, "linestyle": dashes}


def _in_words(way: str) -> str:
    return way if way == NAIVE else f"aligned by {way}"


def _name_axes(axes: list[Axes], names: list[str]) -> None:
    for panel, name in zip(axes, names, strict=True):
        panel.set(xlabel="alpha (0: network A, 1: network B)", ylabel=MEASURES[name].axis_label)


def aligned_over_seeds(aligned: pd.DataFrame, naive: pd.DataFrame, split: str = "test") -> Figure:
    """Naive and aligned paths, mean and deviation over pairs of networks; a column for each network, by width.

    Args:
        aligned: from `query.path_curves`, of paths that were walked with `align`.
        naive: from `query.path_curves(..., unaligned=True)`, of the same paths.
        split: test, train_a or train_b.
    """
    name = SPLIT_LABELS.get(split, split)
    title = f"Up to permutation, {name} data; mean over pairs of networks, band: sample standard deviation"
    score = score_in(aligned)
    both = _both(aligned, naive, split, ("alpha", "split", "loss", score, "model", "dataset"))
    if both.empty:
        return blank_figure(title, ALIGNED)
    columns = [(model, rows) for _, part in by_dataset(both) for model, rows in _by_width(part)]
    with house_style():
        figure, axes = grid_of_panels(2, len(columns), titled(title, both), width=3.4, height=2.9)
        for place, (model, rows) in enumerate(columns):
            for way in [way for way in WAYS if way in set(rows["way"])]:
                _draw(axes[0][place], rows[rows["way"] == way], way, "loss", 1)
                _draw(axes[1][place], rows[rows["way"] == way], way, score, 100)
            axes[0][place].set_title(f"{rows['dataset'].iloc[0]} {model} ({num_text(rows, 'path')})", fontsize="small")
            _name_axes([axes[0][place], axes[1][place]], ["loss", score])
        shared_legend(figure, [panel for row in axes for panel in row])
    return figure


def _both(aligned: pd.DataFrame, naive: pd.DataFrame, split: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """The points of both, with the way as a column."""
    parts = []
    for table, is_naive in ((aligned, False), (naive, True)):
        rows = rows_with(table, columns)
        if len(rows):
            parts.append(rows.assign(way=NAIVE if is_naive else rows["align"]))
    if not parts:
        return pd.DataFrame()
    points = pd.concat(parts, ignore_index=True)
    kept = points[(points["split"] == split) & points["way"].isin(list(WAYS))]
    return kept.assign(alpha=kept["alpha"].astype(float).round(6))


def _draw(panel: Axes, rows: pd.DataFrame, way: str, value: str, scale: int) -> None:
    table = over_seeds(rows, value, "alpha")
    mean, deviation = scale * table["mean"], scale * table["deviation"]
    style = {**WAYS[way], "markersize": 3.5, "linewidth": 1.4, "label": _in_words(way)}
    panel.plot(table["alpha"], mean, markevery=max(1, len(table) // 10), **style)
    if table["n"].max() > 1:
        panel.fill_between(
            table["alpha"], mean - deviation, mean + deviation, color=style["color"], alpha=0.2, linewidth=0
        )


def _by_width(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """One part for each network, MLPs in the order of their widths."""
    return sorted(((str(name), part) for name, part in rows.groupby("model")), key=lambda item: _order(item[0]))


def _order(model: str) -> tuple[int, str]:
    found = _WIDTH.match(model)
    return (int(found[1]) if found else 10**9, model)


def aligned_by_width(paths: pd.DataFrame, split: str = "test") -> Figure:
    """Barriers of naive and of aligned paths against width: boxes, and every path as a point, however far out.

    Args:
        paths: from `query.paths`; those walked with `align` count.
        split: test, train_a or train_b.
    """
    value = f"{split}/barrier"
    title = f"Barriers up to permutation, {SPLIT_LABELS.get(split, split)} data; box: quartiles, every path a point"
    rows = rows_with(paths, (value, f"unaligned/{value}", "align", "model", "dataset"))
    rows = rows[rows["align"].isin(list(WAYS))] if len(rows) else rows
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
    """A place for each network; side by side in it the naive paths, then those of each method."""
    ways = [way for way in WAYS if way == NAIVE or way in set(rows["align"])]
    models = _by_width(rows)
    room = 0.8 / len(ways)
    for i, way in enumerate(ways):
        for place, (_, part) in enumerate(models):
            own = part[f"unaligned/{value}"] if way == NAIVE else part.loc[part["align"] == way, value]
            if way == NAIVE:
                own = own[~part.duplicated(["run_a", "run_b", "bn"])]
            at = place + (i - (len(ways) - 1) / 2) * room
            _box(panel, own.to_numpy(dtype=float), at, room, WAYS[way], _in_words(way) if not place else None)
    panel.set_xticks(range(len(models)), [_label(model) for model, _ in models])
    panel.set_xlabel("width" if all(_WIDTH.match(model) for model, _ in models) else "network")
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


def _label(model: str) -> str:
    found = _WIDTH.match(model)
    return model.split("_w", 1)[1].replace("_", "\n") if found else model
