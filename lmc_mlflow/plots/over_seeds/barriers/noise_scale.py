"""Draws barriers against the noise scale g = lr (N/B - 1) of SGD (Hepburn et al., after Smith and Le)."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from lmc_mlflow.findings.thresholds import FLAT_BELOW
from lmc_mlflow.plots.encoding import Encoding
from lmc_mlflow.plots.facets import POINT, Facet, encoding_of, facet_panels, facets_of, point_settings
from lmc_mlflow.plots.groups import learnt_only, over_seeds, titled
from lmc_mlflow.plots.missing import PATHS, blank_figure, rows_with
from lmc_mlflow.plots.numbers import draw_numbers
from lmc_mlflow.plots.over_seeds.barriers.batch_and_lr import SPREAD
from lmc_mlflow.plots.style import SPLIT_LABELS, house_style, readable_log, shared_legend

SCALE = "noise_scale"
HEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Ticks of the barrier: linear up to the threshold, logarithmic above."""
ASIDE = 1.05
"""Factor between neighbours at one noise scale, so that they do not cover one another."""


def barrier_by_noise_scale(
    paths: pd.DataFrame, endpoints: pd.DataFrame, split: str = "test", by: Sequence[str] | None = None
) -> Figure:
    """Draw barrier in basin against g, a point with a bar for each condition and its number of seeds below it.

    The marker is the model, the colour batch size and rate; every other setting in which the paths differ has a panel.
    Networks that have not learnt are left out and counted. g is of SGD: for other optimizers it orders batch sizes and
    rates, and does not compare them with SGD's.

    Args:
        paths: from `query.paths`, within pairs.
        endpoints: from `query.endpoints`: the noise scale of both ends.
        split: test, train_a or train_b.
        by: columns that make a panel; None: every setting in which the paths differ.
    """
    title = f"Barrier against noise scale, {SPLIT_LABELS.get(split, split)} data; {SPREAD}"
    barrier = f"{split}/barrier_in_basin"
    rows = with_noise_scale(rows_with(paths, (barrier, "run_a", "run_b", "model", "lr", "batch_size")), endpoints)
    rows, left_out = learnt_only(rows[rows[SCALE] > 0], split)
    if rows.empty:
        return blank_figure(title, PATHS)
    point = point_settings(rows, reserved=1) if by is None else POINT
    facets, note = facets_of(rows, by, point)
    labels = ("g = lr (N/B - 1), mean of both sides (log scale)", "barrier in basin (nats per sample)")
    with house_style():
        figure, panels = facet_panels(facets, titled(title, rows, note + left_out), labels)
        encoding = encoding_of(pd.concat([facet.rows for facet in facets]), point)
        for panel, facet in zip(panels, facets, strict=True):
            _draw(panel, facet, encoding, barrier)
            low, high = rows[SCALE].min() / 1.6, rows[SCALE].max() * 1.6
            panel.set_xlim(low, high)
            readable_log(panel.xaxis, low, high)
        encoding.add_entries(panels[0])
        shared_legend(figure, panels[:1])
    return figure


def with_noise_scale(paths: pd.DataFrame, endpoints: pd.DataFrame) -> pd.DataFrame:
    """Add the column `noise_scale`: the mean of g over both ends of every path; NaN where it is not logged."""
    return with_mean_of_ends(paths, endpoints, SCALE)


def with_mean_of_ends(paths: pd.DataFrame, endpoints: pd.DataFrame, name: str) -> pd.DataFrame:
    """Add a column of the endpoints to paths: its mean over both ends; NaN where it is not logged."""
    if paths.empty or not {"run_id", name} <= set(endpoints):
        return paths.assign(**{name: float("nan")})
    known = endpoints.drop_duplicates("run_id").set_index("run_id")[name]
    return paths.assign(**{name: (paths["run_a"].map(known) + paths["run_b"].map(known)) / 2})


def _draw(panel: Axes, facet: Facet, encoding: Encoding, barrier: str) -> None:
    seen: dict[float, int] = {}
    for rows in facet.conditions():
        table = over_seeds(rows.assign(all=0), barrier, "all")
        scale = float(rows[SCALE].mean())
        place = [scale * ASIDE ** seen.setdefault(round(scale, 6), 0)]
        seen[round(scale, 6)] += 1
        style = {**encoding.of(rows), "markersize": 6, "capsize": 3}
        panel.errorbar(place, table["mean"], yerr=table["deviation"].fillna(0.0), **style)
        draw_numbers(panel, place, table, style["color"])
    scale_barriers(panel)


def scale_barriers(panel: Axes) -> None:
    """Give a panel of barriers logarithmic axes, linear below the threshold, which is marked."""
    panel.axhline(FLAT_BELOW, color="black", linestyle="--", linewidth=0.8, label=f"no barrier up to {FLAT_BELOW:g}")
    panel.set(xscale="log")
    panel.set_yscale("symlog", linthresh=FLAT_BELOW)
    panel.yaxis.set_major_locator(FixedLocator(HEIGHTS))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
