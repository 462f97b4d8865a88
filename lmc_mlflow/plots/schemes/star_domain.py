"""Draws what a convex set and a star domain of solutions are (Sonthalia et al., Fig. 1)."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from lmc_mlflow.plots.style import house_style, panels, shared_legend

SOLUTIONS = np.array([0.35, 1.55, 2.9, 4.1, 5.3])
"""Angles (radians) at which the solutions lie as seen from the centre."""
REACH = 0.86
"""Distance of each solution from the centre; the tips of the star domain are at 1."""
WAIST = 0.28
"""Distance from the centre to the star domain's border between two tips."""
_LOW, _BLUE, _ORANGE, _RED = "#dbe6f3", "#1b4f8f", "#c8641a", "#b03030"


def star_domain_scheme() -> Figure:
    """Draw a convex set of solutions beside a star domain: which segments between networks stay at low loss."""
    title = "Networks of low loss, up to permutation: two conjectures (a drawing, not data)"
    with house_style():
        figure, (convex, star) = panels(2, title, width=4.2, height=4.2)
        _draw(convex, convex_border(), "Convex: every segment between two\nnetworks stays at low loss", None)
        _draw(star, star_border(), "Star domain: every segment from the\nstar stays at low loss", np.zeros(2))
        shared_legend(figure, [convex, star])
    return figure


def solutions() -> np.ndarray:
    """Return the places of the solutions in both panels, (5, 2)."""
    return REACH * np.column_stack([np.cos(SOLUTIONS), np.sin(SOLUTIONS)])


def convex_border(num_points: int = 361) -> np.ndarray:
    """Return the border of the convex set, a circle about all solutions: (num_points, 2)."""
    angles = np.linspace(0, 2 * np.pi, num_points)
    return np.column_stack([np.cos(angles), np.sin(angles)])


def star_border(num_points: int = 361) -> np.ndarray:
    """Return the border of the star domain, which has a tip behind each solution: (num_points, 2)."""
    angles = np.linspace(0, 2 * np.pi, num_points)
    apart = np.abs((angles[:, None] - SOLUTIONS[None, :] + np.pi) % (2 * np.pi) - np.pi).min(axis=1)
    radius = WAIST + (1 - WAIST) * np.exp(-((apart / 0.22) ** 2))
    return np.column_stack([radius * np.cos(angles), radius * np.sin(angles)])


def _draw(panel: Axes, border: np.ndarray, title: str, star: np.ndarray | None) -> None:
    """Draw a set, its solutions, the segments between neighbours and, where there is one, those from the star."""
    places = solutions()
    panel.add_patch(Polygon(border, facecolor=_LOW, edgecolor="0.5", label="low loss"))
    inside = star is None
    between: dict[str, Any] = {"color": _BLUE, "linestyle": "-"} if inside else {"color": _RED, "linestyle": "--"}
    label = "segment at low loss" if inside else "segment over a barrier"
    for number, (first, second) in enumerate(zip(places, np.roll(places, -1, axis=0), strict=True)):
        panel.plot(*zip(first, second, strict=True), **between, linewidth=1.4, label=label if number == 0 else None)
    if star is not None:
        for place in places:
            panel.plot(*zip(star, place, strict=True), color=_BLUE, linewidth=1.4)
        panel.plot(*star, marker="*", markersize=17, color=_ORANGE, linestyle="none", label="star")
    panel.plot(*places.T, marker="o", markersize=7, color="black", linestyle="none", label="trained network")
    panel.set_title(title, fontsize="small")
    panel.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal", xticks=[], yticks=[])
