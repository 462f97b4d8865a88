"""Draws how ensembles are made of points of a path and of networks of several seeds (Hepburn et al., Fig. 17)."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.plots.style import grid_of_panels, house_style

START, MEMBER, OTHER = "0.35", "#1b4f8f", "#c8641a"
"""Colours of an initialization, of the members of one path, of the members of several seeds."""
NUM_POINTS = 5
"""Members of the drawn path."""
SEEDS = (1, 20, 100)
"""Initializations of the drawn ensemble of seeds."""


def ensemble_scheme() -> Figure:
    """Draw the scheme of both ensembles: where their members come from, and what is trained for them.

    On the left two networks are trained from one initialization, one on each side; the members are points of the line
    between them. On the right a network is trained on one side from each of several initializations; the members are
    these networks. Both average the members' predictions, or let them vote.
    """
    with house_style():
        title = "How an ensemble is made: of one path (sampling lmc), or of several seeds (sampling seeds)"
        figure, ((left, right),) = grid_of_panels(1, 2, title, width=5.2, height=4.0)
        for panel in (left, right):
            panel.set(xlim=(0, 1), ylim=(0, 1))
            panel.set_axis_off()
        _of_one_path(left)
        _of_seeds(right)
    return figure


def _of_one_path(panel: Axes) -> None:
    panel.set_title(f"lmc: 2 trainings, any number of members ({NUM_POINTS} here)", fontsize="small")
    _network(panel, (0.5, 0.88), "initialization\n(one seed)", START, above=True)
    a, b = (0.12, 0.42), (0.88, 0.42)
    _arrow(panel, (0.5, 0.88), a, "trained on side A")
    _arrow(panel, (0.5, 0.88), b, "trained on side B")
    panel.plot([a[0], b[0]], [a[1], b[1]], color=MEMBER, linewidth=1.2)
    for i in range(NUM_POINTS):
        alpha = i / (NUM_POINTS - 1)
        place = ((1 - alpha) * a[0] + alpha * b[0], a[1])
        name = {0: "\nA", NUM_POINTS - 1: "\nB"}.get(i, "")
        _network(panel, place, f"{alpha:g}{name}", MEMBER)
        _gather(panel, (place[0], 0.26))
    panel.text(0.5, 0.5, "alpha: (1 - alpha) A + alpha B", ha="center", fontsize="small", color=MEMBER)
    _prediction(panel)


def _of_seeds(panel: Axes) -> None:
    panel.set_title(f"seeds: a training for each of the N members ({len(SEEDS)} here)", fontsize="small")
    for i, seed in enumerate(SEEDS):
        across = 0.14 + 0.36 * i
        _network(panel, (across, 0.88), f"initialization\n(seed {seed})", START, above=True)
        _arrow(panel, (across, 0.88), (across, 0.42), "trained on\nside A")
        _network(panel, (across, 0.42), f"A of seed {seed}", OTHER)
        _gather(panel, (across, 0.26))
    _prediction(panel)


def _network(panel: Axes, place: tuple[float, float], name: str, color: str, above: bool = False) -> None:
    panel.plot(*place, "o", color=color, markersize=9, zorder=3)
    offset, align = ((0, 8), "bottom") if above else ((0, -8), "top")
    panel.annotate(name, place, offset, textcoords="offset points", ha="center", va=align, fontsize="small")


def _arrow(panel: Axes, start: tuple[float, float], end: tuple[float, float], text: str) -> None:
    style = {"arrowstyle": "-|>", "color": "0.5", "shrinkA": 7, "shrinkB": 7}
    panel.annotate("", end, start, arrowprops=style)
    middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    panel.text(*middle, text, ha="center", va="center", fontsize="small", color="0.35", bbox=box)


def _gather(panel: Axes, start: tuple[float, float]) -> None:
    panel.annotate("", (0.5, 0.1), start, arrowprops={"arrowstyle": "-", "color": "0.75", "linewidth": 0.8})


def _prediction(panel: Axes) -> None:
    box = {"boxstyle": "round", "facecolor": "0.95", "edgecolor": "0.6"}
    panel.text(0.5, 0.05, "averaged predictions or majority vote", ha="center", va="center", fontsize="small", bbox=box)
