"""Draws heat maps of the loss, layer by alpha, with what each layer contributes and how linear its features are."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lmc_mlflow.plots.style import group_style, house_style, rows_of_labels, shared_legend

Values = NDArray[np.float64]
MODE_LABELS: Mapping[str, str] = {
    "each": "each: this layer alone",
    "below": "below: up to this layer",
    "above": "above: from this layer on",
    "complement": "complement: all but this layer",
}
"""Title of a panel: what moves."""
FEATURE_LABELS: Mapping[str, str] = {
    "feature_cosine": "middle with the mean of the ends",
    "ends_cosine": "one end with the other",
}
CUT_AT = 3.0
"""Colours end at this multiple of the whole path's rise: a network with some layers of another may be far worse."""


def paths_by_layer_figure(points: pd.DataFrame, barriers: pd.DataFrame, features: pd.DataFrame, title: str) -> Figure:
    """Draw loss over layer and alpha, a panel a mode, then contributions and cosines of features; of the first split.

    Args:
        points: columns mode, number, layer, alpha, split, loss: the content of `path_by_layer.json`.
        barriers: columns mode, number, split, contribution: that of `barrier_by_layer.json`.
        features: columns number, split, feature_cosine, ends_cosine: that of `features_by_layer.json`.
        title: over the figure.
    """
    split = points["split"].iloc[0]
    points, barriers = (table[table["split"] == split] for table in (points, barriers))
    features = features[features["split"] == split] if len(features) else features
    whole = points[points["number"] == 0]
    modes = [mode for mode in points["mode"].unique() if mode in MODE_LABELS]
    layers = points[points["number"] > 0].drop_duplicates("number").sort_values("number")
    labels = [*whole["layer"].iloc[:1], *layers["layer"]]
    with house_style():
        num_panels = len(modes) + 1 + (len(features) > 0)
        figure, axes = rows_of_labels(labels, num_panels, f"{title}\nrise of the loss on {split}, by layer", 3.2)
        ends = whole.sort_values("alpha")["loss"].to_numpy()[[0, -1]].mean()
        norm = _norm(whole["loss"] - ends, points["loss"] - ends)
        for panel, mode in zip(axes, modes, strict=False):
            rows = pd.concat([whole, points[points["mode"] == mode]])
            _heat_map(panel, rows.pivot_table(index="number", columns="alpha", values="loss") - ends, norm)
            panel.set(title=MODE_LABELS[mode], xlabel="alpha")
        colours = ScalarMappable(norm, "RdBu_r")
        bar = figure.colorbar(colours, ax=axes[: len(modes)], extend="max", aspect=12 + len(labels), pad=0.01)
        bar.set_label("loss over the mean\nof both ends (nats)", fontsize="small")
        _contributions(axes[len(modes)], barriers, modes)
        if len(features):
            _cosines(axes[-1], features)
        shared_legend(figure, axes[len(modes) :])
    return figure


def _norm(whole: pd.Series, every: pd.Series) -> TwoSlopeNorm:
    """Scale colours so that the mean of both ends is their middle."""
    known = every[np.isfinite(every)]
    highest = min(float(known.max()), CUT_AT * max(float(whole[np.isfinite(whole)].max()), 0.05)) if len(known) else 1.0
    lowest = float(known.min()) if len(known) else -1.0
    return TwoSlopeNorm(0.0, vmin=min(lowest, -highest / 4, -1e-9), vmax=max(highest, 1e-9))


def _heat_map(panel: Axes, values: pd.DataFrame, norm: TwoSlopeNorm) -> None:
    """Draw a row a layer; a point of the grid is in the middle of its cell."""
    alphas = values.columns.to_numpy(dtype=float)
    inner = (alphas[1:] + alphas[:-1]) / 2
    edges = np.concatenate([[2 * alphas[0] - inner[0]], inner, [2 * alphas[-1] - inner[-1]]])
    rows = np.arange(len(values) + 1) - 0.5
    panel.pcolormesh(edges, rows, values.to_numpy(), norm=norm, cmap="RdBu_r", rasterized=True)
    panel.axhline(0.5, color="white", linewidth=3)  # the whole path stands apart
    panel.grid(False)


def _contributions(panel: Axes, barriers: pd.DataFrame, modes: list[str]) -> None:
    for i, mode in enumerate(modes):
        own = barriers[barriers["mode"] == mode]
        style: dict[str, Any] = {**group_style(i), "label": MODE_LABELS[mode], "markersize": 5}
        panel.plot(100 * own["contribution"], own["number"], **style)
    panel.axvline(0, color="0.4", linewidth=1)
    panel.set(title="contribution", xlabel="of the whole path's rise (%)")


def _cosines(panel: Axes, features: pd.DataFrame) -> None:
    for i, (name, label) in enumerate(FEATURE_LABELS.items()):
        style = {**group_style(5 + i), "label": f"features: {label}", "markersize": 5}
        panel.plot(features[name], features["number"], **style)
    panel.set(title="cosine of features", xlabel="cosine")
