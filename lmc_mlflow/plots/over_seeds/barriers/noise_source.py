"""Draws barriers against batch size by source of noise (Hepburn et al. against Altintas et al.)."""

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.findings.conditions import (
    CONDITIONS,
    SOURCES,
    describe,
    distinguishing,
    noise_source,
)
from lmc_mlflow.findings.thresholds import CONNECTED_BELOW_PCT
from lmc_mlflow.plots.encoding import Encoding
from lmc_mlflow.plots.facets import MOST_ENTRIES, num_per_condition
from lmc_mlflow.plots.groups import groups_of, learnt_only, titled
from lmc_mlflow.plots.missing import PATHS, blank_figure, rows_with
from lmc_mlflow.plots.over_seeds.barriers.batch_and_lr import set_log_ticks
from lmc_mlflow.plots.over_seeds.barriers.error_barriers import (
    MEANS,
    THRESHOLD,
    draw_curve,
    in_percent,
    with_several,
)
from lmc_mlflow.plots.style import grid_of_panels, house_style, shared_legend

ASIDE = ("batch_size", "shift", "noise")
"""Settings that axis and columns show."""
ROWS = ("model", "optimizer", "lr")
"""Settings that get rows of panels, in this order, where a legend of all would have too many entries."""
VALUES = {"test": "error barrier (%)", "test/barrier_in_basin": "barrier in basin\n(nats per sample)"}
TITLE_WIDTH = 44
"""Characters over a panel."""
MOST_ROWS = 4
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
    by = _settings_of_rows(rows)
    parts = list(rows.groupby(by, sort=True)) if by else [((), rows)]
    more = f"\nthe first {MOST_ROWS} of {len(parts)} rows; the others are not drawn" if len(parts) > MOST_ROWS else ""
    parts = parts[:MOST_ROWS]
    shown = [source for source in SOURCES if source in set(rows["source"])]
    with house_style():
        size: dict[str, Any] = {"width": max(3.6, 7.2 / len(shown)), "height": 2.8, "sharex": True, "sharey": "row"}
        figure, axes = grid_of_panels(2 * len(parts), len(shown), titled(title, rows, left_out + more), **size)
        encoding = _encoding(pd.concat([part for _, part in parts]), by)
        for place, (key, part) in enumerate(parts):
            name = ", ".join(filter(None, map(describe, by, key)))
            for value, line in zip(VALUES, axes[2 * place : 2 * place + 2], strict=True):
                _draw_row(line, (part, rows), value, shown, encoding)
                line[0].set_ylabel(VALUES[value])
                for source, panel in zip(shown, line, strict=True):
                    here = textwrap.fill(name, TITLE_WIDTH) if panel is line[0] else ""
                    said = "\n".join(filter(None, [here, source, _number_text(part, source)]))
                    panel.set_title(said, fontsize="small")
        for panel in (panel for line in axes[:-1] for panel in line):
            panel.set_xlabel("")
        encoding.add_entries(axes[0][0])
        shared_legend(figure, axes[0])
    return figure


def _settings_of_rows(rows: pd.DataFrame) -> list[str]:
    """Choose the settings that get rows of panels of their own: as few as leave the legend readable."""
    found: list[str] = []
    for name in (*ROWS, *_others(rows)):
        colors = [one for one in COLORS if one in rows and one not in found]
        lines = [one for one in _others(rows) if one not in found]
        entries = 1 + (0 if "model" in found else rows["model"].nunique())
        entries += sum(len(rows[names].drop_duplicates()) for names in (colors, lines) if names)
        if entries <= MOST_ENTRIES:
            break
        found += [name] if name not in found and name in rows and rows[name].nunique() > 1 else []
    return found


def _others(rows: pd.DataFrame) -> list[str]:
    """List the settings besides model, colours and axis in which the rows differ: the line shows them."""
    return distinguishing(rows, [name for name in CONDITIONS if name not in (*ASIDE, *COLORS, "model")])


def _encoding(rows: pd.DataFrame, by: Sequence[str]) -> Encoding:
    colors = [name for name in COLORS if name in rows and name not in by]
    lines = [name for name in _others(rows) if name not in by]
    return Encoding(rows, colors, lines, models="model" not in by)


def _draw_row(
    line: Sequence[Axes],
    part_of: tuple[pd.DataFrame, pd.DataFrame],
    value: str,
    sources: Sequence[str],
    encoding: Encoding,
) -> None:
    """Draw one measure of the rows `part_of[0]`, a panel for each source; ticks are those of all rows."""
    part, every = part_of
    groups = groups_of(part, leave_out=ASIDE, always=("model",))
    for source, panel in zip(sources, line, strict=True):
        for number, group in enumerate(groups):
            styled = replace(group, label="", style=encoding.of(group.rows))
            here = group.rows[group.rows["source"] == source]
            draw_curve(panel, styled, here, "batch_size", value, 1.03 ** (number - (len(groups) - 1) / 2))
        set_log_ticks(panel, "batch_size", every)
        if value == "test":
            panel.axhline(CONNECTED_BELOW_PCT, **THRESHOLD)


def _number_text(part: pd.DataFrame, source: str) -> str:
    here = part[part["source"] == source]
    return num_per_condition(here, distinguishing(here)) if len(here) else "no paths"
