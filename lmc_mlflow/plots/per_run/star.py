"""Figures of stars: their segments beside those between regular networks, and against the number of sources.

Sonthalia et al., figures 2 and 3.
"""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.plots.groups import titled
from lmc_mlflow.plots.missing import STARS, blank_figure, rows_with
from lmc_mlflow.plots.score_labels import in_words, score_in
from lmc_mlflow.plots.style import house_style, panels, shared_legend

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "regular": ("regular to regular", {"color": "#7f7f7f", "linestyle": ":", "marker": "^"}),
    "star_source": ("star to source", {"color": "#1b4f8f", "linestyle": "-", "marker": "o"}),
    "star_held_out": ("star to held out", {"color": "#c8641a", "linestyle": "--", "marker": "s"}),
}
SCORE_STYLES: dict[str, dict[str, Any]] = {
    "star": {"color": "#1b4f8f", "linestyle": "-", "marker": "o"},
    "sources": {"color": "#7f7f7f", "linestyle": ":", "marker": "^"},
    "held_out": {"color": "#c8641a", "linestyle": "--", "marker": "s"},
    "ensemble": {"color": "#5a9e3a", "linestyle": "-.", "marker": "D"},
}


def segments_figure(table: pd.DataFrame, title: str) -> Figure:
    """Draw loss and accuracy along the segments of each kind: mean and a band of one sample standard deviation.

    Args:
        table: columns kind, run_a, run_b, alpha, loss, accuracy (or average_precision): the content of
            `segments.json`.
        title: over the figure.
    """
    score = score_in(table)
    with house_style():
        figure, (loss_panel, score_panel) = panels(2, f"{title}\nmean of the segments, band: sample standard deviation")
        for kind, (label, style) in KINDS.items():
            rows = table[table["kind"] == kind]
            if len(rows):
                num_segments = len(rows[["run_a", "run_b"]].drop_duplicates())
                named = f"{label} ({counted(num_segments, 'segment')})"
                _band(loss_panel, rows, ("alpha", "loss", 1), named, style)
                _band(score_panel, rows, ("alpha", score, 100), named, style)
        where = "alpha (0: star, 1: other network; regular: either)"
        loss_panel.set(xlabel=where, ylabel="test loss (nats per sample)")
        score_panel.set(xlabel=where, ylabel=f"test {in_words(score)} (%)")
        shared_legend(figure, [loss_panel])
    return figure


def star_by_sources(stars: pd.DataFrame) -> Figure:
    """Draw the barrier over the chord and the accuracy of the star against the number of sources.

    A point is the mean over stars with that many sources, its bar their sample standard deviation; for a single
    star, that of its segments. Stars of the same seed and sources are averaged first.

    Args:
        stars: from `query.stars`.
    """
    title = "A star against the number of its sources; bars: sample standard deviation"
    rows = rows_with(stars, ("num_sources", "sources", "star_source/test/barrier_over_chord"))
    if rows.empty:
        return blank_figure(title, STARS)
    score = "accuracy" if "accuracy/star" in rows else "average_precision"
    with house_style():
        figure, (barrier_panel, score_panel) = panels(2, titled(title, rows))
        for i, (kind, (label, style)) in enumerate(KINDS.items()):
            _by_sources(barrier_panel, rows, f"{kind}/test/barrier_over_chord", label, style, 0.06 * (i - 1))
        for i, (name, style) in enumerate(SCORE_STYLES.items()):
            label = f"{in_words(score)}: {name.replace('_', ' ')}"
            _by_sources(score_panel, rows, f"{score}/{name}", label, style, 0.06 * (i - 1.5))
        barrier_panel.set_ylabel("test barrier over the chord (nats)")
        score_panel.set_ylabel(f"test {in_words(score)} (fraction)")
        for panel in (barrier_panel, score_panel):
            panel.set_xlabel("number of sources")
            numbers = sorted(rows["num_sources"].astype(int).unique())
            panel.xaxis.set_major_locator(FixedLocator(numbers))
            panel.set_xlim(numbers[0] - 0.5, numbers[-1] + 0.5)
        shared_legend(figure, [barrier_panel, score_panel])
    return figure


def _band(panel: Axes, rows: pd.DataFrame, columns: tuple[str, str, int], label: str, style: dict[str, Any]) -> None:
    along, value, scale = columns
    found = rows.groupby(along)[value].agg(["mean", "std"]) * scale
    panel.plot(found.index, found["mean"], label=label, markersize=4, linewidth=1.4, **style)
    if found["std"].notna().all():
        low, high = found["mean"] - found["std"], found["mean"] + found["std"]
        panel.fill_between(found.index, low, high, color=style["color"], alpha=0.2, linewidth=0)


def _by_sources(panel: Axes, rows: pd.DataFrame, key: str, label: str, style: dict[str, Any], shift: float) -> None:
    if key not in rows or rows[key].isna().all():
        return
    names = [name for name in ("num_sources", "seed", "sources") if name in rows]
    values = rows.groupby(names)[[name for name in (key, f"{key}_std") if name in rows]].mean()
    found = values.groupby(level="num_sources")[key].agg(["mean", "std"])
    if f"{key}_std" in values:  # one star alone has segments to spread over
        found["std"] = found["std"].fillna(values.groupby(level="num_sources")[f"{key}_std"].mean())
    positions = found.index.to_numpy(dtype=float) + shift
    panel.errorbar(positions, found["mean"], yerr=found["std"].fillna(0), label=label, capsize=3, markersize=5, **style)
