"""Draws barriers against batch size by source of noise (Hepburn et al. against Altintas et al.)."""

from dataclasses import replace
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from lmc_mlflow.findings.conditions import (
    CONDITIONS,
    SOURCES,
    distinguishing,
    noise_source,
)
from lmc_mlflow.findings.thresholds import CONNECTED_BELOW_PCT
from lmc_mlflow.plots.encoding import Encoding
from lmc_mlflow.plots.facets import num_per_condition
from lmc_mlflow.plots.groups import groups_of, learnt_only, titled
from lmc_mlflow.plots.missing import PATHS, blank_figure, rows_with
from lmc_mlflow.plots.over_seeds.batch_and_lr import set_log_ticks
from lmc_mlflow.plots.over_seeds.error_barriers import (
    MEANS,
    THRESHOLD,
    draw_curve,
    in_percent,
    with_several,
)
from lmc_mlflow.plots.style import grid_of_panels, house_style, shared_legend

COLORS = ("optimizer", "lr")
"""Settings that the colour of a line shows; the marker shows the model, the line all others."""


def barrier_by_noise_source(paths: pd.DataFrame) -> Figure:
    """Draw error barrier and barrier in the basin against batch size, a column of panels for each source of noise.

    Hepburn et al. find that batch size decides under data shifts; Altintas et al. that it does not where only the
    order of the images differs. Networks that have not learnt (`conditions.has_learnt`) are left out and counted.

    Args:
        paths: from `query.paths`.
    """
    title = f"Does batch size decide? Barriers on test data by source of noise; {MEANS}"
    rows = in_percent(rows_with(paths, ("test/error_barrier", "test/barrier_in_basin", "batch_size", "shift", "noise")))
    rows = rows[rows["same_initialization"].astype(bool) & (rows["side_a"] != rows["side_b"])] if len(rows) else rows
    sources = [noise_source(shift, noise) for shift, noise in rows[["shift", "noise"]].to_numpy()]
    rows = rows.assign(source=sources)
    rows = rows[rows["source"].isin(SOURCES)]
    rows, left_out = learnt_only(rows)
    rows = with_several(rows, ("batch_size",))
    if rows.empty:
        return blank_figure(title, PATHS)
    shown = [source for source in SOURCES if source in set(rows["source"])]
    aside = ("batch_size", "shift", "noise")
    groups = groups_of(rows, leave_out=aside, always=("model",))
    others = distinguishing(rows, [name for name in CONDITIONS if name not in (*aside, *COLORS, "model")])
    encoding = Encoding(rows, [name for name in COLORS if name in rows], others)
    with house_style():
        size: dict[str, Any] = {"width": 3.6, "height": 2.9, "sharex": True, "sharey": "row"}
        figure, axes = grid_of_panels(2, len(shown), titled(title, rows, left_out), **size)
        for value, line in zip(("test", "test/barrier_in_basin"), axes, strict=True):
            for source, panel in zip(shown, line, strict=True):
                here = rows[rows["source"] == source]
                for number, group in enumerate(groups):
                    part = group.rows[group.rows["source"] == source]
                    styled = replace(group, label="", style=encoding.of(group.rows))
                    draw_curve(panel, styled, part, "batch_size", value, 1.03 ** (number - (len(groups) - 1) / 2))
                number_text = num_per_condition(here, distinguishing(here))
                panel.set_title(f"{source}\n{number_text}", fontsize="small")
                set_log_ticks(panel, "batch_size", rows)
                if value == "test":
                    panel.axhline(CONNECTED_BELOW_PCT, **THRESHOLD)
            line[0].set_ylabel("error barrier (%)" if value == "test" else "barrier in basin (nats per sample)")
        for panel in axes[0]:
            panel.set_xlabel("")
        encoding.add_entries(axes[0][0])
        shared_legend(figure, axes[0])
    return figure
