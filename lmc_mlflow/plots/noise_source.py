"""Does batch size decide? Barriers by source of noise (Hepburn et al. against Altintas et al.)."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from lmc_mlflow.conditions import counted, has_learnt, noise_source
from lmc_mlflow.plots.error_barriers import CONNECTED_BELOW, MEANS, THRESHOLD, curve, in_percent
from lmc_mlflow.plots.groups import groups_of, readable, titled
from lmc_mlflow.plots.missing import PATHS, blank_figure, rows_with
from lmc_mlflow.plots.style import grid_of_panels, house_style, shared_legend

SOURCES = ("order alone", "covariate shift", "label imbalance")


def barrier_by_noise_source(paths: pd.DataFrame) -> Figure:
    """Error barrier and loss barrier against batch size, a column of panels for each source of noise.

    Hepburn et al. find that batch size decides, under data shifts; Altintas et al. that it does not, under other
    orders alone. Networks that have not learnt (`conditions.has_learnt`) are left out and counted.

    Args:
        paths: from `query.paths`.
    """
    title = f"Does batch size decide? Barriers on test data by source of noise; {MEANS}"
    rows = in_percent(rows_with(paths, ("test/error_barrier", "test/barrier", "batch_size", "shift", "noise")))
    rows = rows[rows["same_initialization"].astype(bool) & (rows["side_a"] != rows["side_b"])] if len(rows) else rows
    sources = [noise_source(shift, noise) for shift, noise in rows[["shift", "noise"]].to_numpy()]
    rows = rows.assign(source=sources)
    rows = rows[rows["source"].isin(SOURCES)]
    learnt = has_learnt(rows, "test/path_accuracy")
    left_out = (
        f"\n{counted(int((~learnt).sum()), 'path')} of networks that have not learnt left out" if len(rows) else ""
    )
    rows = _with_several(rows[learnt], "batch_size")
    if rows.empty:
        return blank_figure(title, PATHS)
    shown = [source for source in SOURCES if source in set(rows["source"])]
    aside = ("batch_size", "shift", "noise")
    groups, note = readable(groups_of(rows, leave_out=aside, always=("model", "optimizer")))
    note += left_out if (~learnt).any() else ""
    with house_style():
        size: dict[str, Any] = {"width": 3.6, "height": 2.9, "sharex": True, "sharey": "row"}
        figure, axes = grid_of_panels(2, len(shown), titled(title, rows, note), **size)
        for value, line in zip(("test", "test/barrier"), axes, strict=True):
            for source, panel in zip(shown, line, strict=True):
                for number, group in enumerate(groups):
                    part = group.rows[group.rows["source"] == source]
                    curve(panel, group, part, "batch_size", value, 1.03 ** (number - (len(groups) - 1) / 2))
                panel.set_title(source, fontsize="small")
                _batch_sizes(panel, rows)
                if value == "test":
                    panel.axhline(CONNECTED_BELOW, label="connected below 2 %", **THRESHOLD)
            line[0].set_ylabel("error barrier (%)" if value == "test" else "barrier (nats per sample)")
        for panel in axes[-1]:
            panel.set_xlabel("batch size (log scale)")
        shared_legend(figure, [panel for line in axes for panel in line])
    return figure


def _with_several(rows: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The rows of conditions that were met at more than one value of an axis."""
    if rows.empty:
        return rows
    kept = [group.rows for group in groups_of(rows, leave_out=(axis,)) if group.rows[axis].nunique() > 1]
    return pd.concat(kept) if kept else rows.iloc[:0]


def _batch_sizes(panel: Axes, rows: pd.DataFrame) -> None:
    places = sorted(rows["batch_size"].astype(float).unique())
    panel.set(xscale="log", xlim=(places[0] / 1.6, places[-1] * 1.6))
    panel.xaxis.set_major_locator(FixedLocator(places))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda place, _: f"{place:g}"))
    panel.xaxis.set_minor_locator(NullLocator())
