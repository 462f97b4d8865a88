"""Draws the angles of connected pairs as a box for each family of networks (Hepburn et al., Fig. 14)."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.findings.families import FAMILIES, OTHER, family_of
from lmc_mlflow.findings.thresholds import FLAT_BELOW, LOST_BELOW
from lmc_mlflow.models.families import has_batch_norm
from lmc_mlflow.plots.groups import learnt_only, num_text, titled
from lmc_mlflow.plots.missing import PATHS, blank_figure
from lmc_mlflow.plots.over_seeds.similarity.connected_pairs import connected_pairs
from lmc_mlflow.plots.style import grid_of_panels, house_style, shared_legend

ANGLES = {"angle_deg": "all trainable parameters", "angle_weights_deg": "weight matrices and kernels"}
"""Column -> the parameters that the angle is over."""
PAPER_PAIRS = {"MLP": 127, "ResNet": 80, "VGG": 15}
"""Family -> the connected pairs behind its box in the paper."""


def angle_by_family(paths: pd.DataFrame) -> Figure:
    """Draw a box of the angles of connected pairs for each family, with and without batch norm apart.

    A line beside each box is the angle of two independent initializations of the same networks. Their scales of batch
    norm all start at 1, so over all parameters networks with batch norm are about 42 degrees apart before any training
    and those without it 90. The boxes hold the pairs whose verdict is `connected`: no barrier, and an accuracy delta
    above the threshold, as the paper chooses its pairs.

    Args:
        paths: from `query.paths`.
    """
    title = "Angle between the sides of connected pairs, by family"
    rows, left_out = learnt_only(connected_pairs(paths, "angle_deg"))
    if rows.empty:
        return blank_figure(title, PATHS.replace("No path with this", "No connected pair"))
    note = f"\npairs with a barrier of at most {FLAT_BELOW:g} that lose at most {-LOST_BELOW:g} points; the paper has "
    note += ", ".join(f"{number} {family}" for family, number in PAPER_PAIRS.items())
    boxes = _boxes(rows)
    angles = [name for name in ANGLES if name in rows and rows[name].notna().any()]
    with house_style():
        size: dict[str, Any] = {"width": 1.2 + 1.5 * len(boxes), "height": 4.2, "sharey": True}
        figure, (panels,) = grid_of_panels(1, len(angles), titled(title, rows, note + left_out), **size)
        for panel, angle in zip(panels, angles, strict=True):
            _draw(panel, boxes, angle)
        panels[0].set(ylabel="angle (degrees)", ylim=(0, 95))
        shared_legend(figure, panels)
    return figure


def _boxes(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Divide pairs by family and batch norm, in the order of the families; those without batch norm come first."""
    kinds = [(family_of(str(model)), has_batch_norm(str(model))) for model in rows["model"]]
    found = {}
    for family in (*FAMILIES, OTHER):
        for normed in (False, True):
            own = rows[[kind == (family, normed) for kind in kinds]]
            if len(own):
                found[f"{family}\n{'with' if normed else 'without'} batch norm\n{num_text(own, 'pair')}"] = own
    return found


def _draw(panel: Axes, boxes: dict[str, pd.DataFrame], angle: str) -> None:
    values = [rows[angle].dropna().to_numpy(dtype=float) for rows in boxes.values()]
    panel.boxplot(values, widths=0.5, showfliers=False, medianprops={"color": "#1b4f8f", "linewidth": 1.8})
    for place, (rows, own) in enumerate(zip(boxes.values(), values, strict=True), 1):
        across = place + np.linspace(-0.18, 0.18, len(own)) if len(own) > 1 else [place]
        panel.plot(across, own, "o", color="0.45", markersize=3.5, markerfacecolor="none", label="a pair")
        _reference(panel, place, rows, angle)
    panel.set_xticks(range(1, len(boxes) + 1), list(boxes), fontsize="small")
    panel.set_title(ANGLES[angle], fontsize="small")


def _reference(panel: Axes, place: int, rows: pd.DataFrame, angle: str) -> None:
    """Mark the angle of two independent initializations, which is logged for all trainable parameters alone."""
    logged = rows.get("angle_reference_deg", pd.Series(dtype=float)).dropna()
    if angle != "angle_deg" or logged.empty:
        return
    label = "two independent initializations"
    panel.hlines(float(logged.mean()), place - 0.38, place + 0.38, color="#c8641a", linewidth=2.5, label=label)
