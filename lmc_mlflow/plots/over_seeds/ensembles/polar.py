"""Draws the members of ensembles in polar coordinates around their first network (Hepburn et al., Figs. 17 and 22)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.findings.conditions import CONDITIONS, counted, describe_all, distinguishing
from lmc_mlflow.models.names import in_natural_order
from lmc_mlflow.plots.groups import titled
from lmc_mlflow.plots.missing import ENSEMBLES, blank_figure, rows_with
from lmc_mlflow.plots.over_seeds.similarity.polar import MOST_ROWS, frame_radius, polar_panels
from lmc_mlflow.plots.style import group_style, house_style, shared_legend

RADII = {
    "loss": ("test loss (nats per sample)", 1),
    "accuracy": ("test accuracy (%)", 100),
    "manhattan": ("Manhattan distance", 1),
}
"""Column -> what the radius is, and its scale."""
SAMPLINGS: Mapping[str, dict[str, Any]] = {
    "lmc": {"marker": "o", "linestyle": "-"},
    "curve": {"marker": "v", "linestyle": "-."},
    "seeds": {"marker": "s", "linestyle": "none", "markerfacecolor": "none"},
    "star": {"marker": "D", "linestyle": "none", "markerfacecolor": "none"},
}
"""Sampling -> marker and line; only the members of a path have an order."""
LINE = ["model", "sampling", "num_members"]
"""Settings that a label names."""


def polar_of_ensembles(members: pd.DataFrame) -> Figure:
    """Draw loss, accuracy and Manhattan distance (radius) of every member against its angle, an ensemble a line.

    The angle is that between the member and the first network: the start of a path (A), the star, or the first member
    of an ensemble of seeds. A row of panels is one data set and training condition.

    Args:
        members: from `query.ensemble_members`.
    """
    title = "Members of ensembles: angle (degrees) from the first network; points of a path are joined"
    rows = rows_with(members, ("run_id", "angle_deg", "dataset", *LINE, *RADII))
    if rows.empty:
        return blank_figure(title, ENSEMBLES)
    names = distinguishing(rows, [name for name in CONDITIONS if name not in (*LINE, "bn", "data_digest")])
    parts = list(rows.groupby(names, dropna=False, sort=True)) if names else [((), rows)]
    more = len(parts) > MOST_ROWS
    note = f"\nthe first {MOST_ROWS} of {len(parts)} conditions; the others are not drawn" if more else ""
    parts = parts[:MOST_ROWS]
    shown = pd.concat([part for _, part in parts])
    models = in_natural_order(list(shown["model"].astype(str)))
    labels = _labels([part for _, part in parts])
    colors = {model: group_style(number)["color"] for number, model in enumerate(models)}
    with house_style():
        figure, axes = polar_panels(len(parts), titled(title, rows, note))
        for (key, part), line in zip(parts, axes, strict=True):
            condition = ", ".join(describe_all(names, key))
            for panel, (value, (words, scale)) in zip(line, RADII.items(), strict=True):
                _draw(panel, part, value, scale, colors, labels)
                text = f"{condition}\nradius: {words}".lstrip()
                widest = float(shown["angle_deg"].max())
                frame_radius(panel, scale * part[value], text, widest, is_score=value == "accuracy")
        shared_legend(figure, [panel for line in axes for panel in line])
    return figure


def _labels(parts: Sequence[pd.DataFrame]) -> dict[tuple[str, str, int], str]:
    """Name each kind of ensemble once for all rows of panels, with how many ensembles a row has."""
    labels: dict[tuple[str, str, int], str] = {}
    for key in {key for part in parts for key in _kinds(part)}:
        counts = [kinds[key]["run_id"].nunique() for kinds in map(_kinds, parts) if key in kinds]
        low, high = min(counts), max(counts)
        number = counted(high, "ensemble") if low == high else f"{low} to {high} ensembles a row"
        labels[key] = f"{', '.join(describe_all(LINE, key))} (n = {number})"
    return labels


def _kinds(rows: pd.DataFrame) -> dict[tuple[str, str, int], pd.DataFrame]:
    """Divide ensembles by what a label names: network, sampling, number of members."""
    found = {}
    for _, own in rows.groupby(LINE, sort=True):
        number = int(own["num_members"].to_numpy(dtype=int)[0])
        found[str(own["model"].iat[0]), str(own["sampling"].iat[0]), number] = own
    return found


def _draw(
    panel: Axes,
    rows: pd.DataFrame,
    value: str,
    scale: float,
    colors: Mapping[str, Any],
    labels: Mapping[tuple[str, str, int], str],
) -> None:
    for (model, sampling, number), own in _kinds(rows).items():
        label: str | None = labels[model, sampling, number]
        style = {**SAMPLINGS.get(sampling, SAMPLINGS["star"]), "color": colors[model]}
        for _, ensemble in own.sort_values("member").groupby("run_id", sort=False):
            angles = np.deg2rad(ensemble["angle_deg"].astype(float))
            radii = scale * ensemble[value]
            panel.plot(angles, radii, label=label, markersize=4, linewidth=1, alpha=0.8, **style)
            label = None
