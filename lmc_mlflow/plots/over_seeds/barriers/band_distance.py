"""Draws barriers against the distance of two spectral bands in nanometres (Hepburn et al., Fig. 9)."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.data.shifts.registry import distance_of_bands
from lmc_mlflow.findings.thresholds import FLAT_BELOW, LOST_BELOW
from lmc_mlflow.plots.groups import Group, groups_of, num_text, over_seeds, readable, titled
from lmc_mlflow.plots.missing import blank_figure, rows_with
from lmc_mlflow.plots.numbers import draw_numbers
from lmc_mlflow.plots.over_seeds.barriers.batch_and_lr import SPREAD
from lmc_mlflow.plots.over_seeds.barriers.by_model import LOST_LABEL
from lmc_mlflow.plots.score_labels import in_words, score_in
from lmc_mlflow.plots.style import SPLIT_LABELS, grid_of_panels, house_style, shared_legend

DISTANCE = "distance_nm"
"""Column of the horizontal axis."""
NEEDED = (
    f"No path between sides in two bands in the store yet: {RUN} sweep -P grid=paper_fig_9 "
    "-P data_root=<folder of the archive>"
)
BESIDE = 4.0
"""Nanometres between the points of two conditions with the same bands."""


def barrier_by_band_distance(paths: pd.DataFrame, split: str = "test") -> Figure:
    """Draw barrier in basin and score delta against the distance of the bands that both sides see, in nanometres.

    A point is a pair of bands, or of combinations of three, whose name stands over it. The distance of combinations
    is the mean over their channels of the difference in wavelength.

    Args:
        paths: from `query.paths`; shifts of other kinds are left out.
        split: test, train_a or train_b.
    """
    score = score_in(paths, f"{split}/{{}}_delta")
    barrier, delta = f"{split}/barrier_in_basin", f"{split}/{score}_delta"
    title = f"Barrier and {in_words(score)} delta by distance of bands, {SPLIT_LABELS.get(split, split)} data; {SPREAD}"
    rows = rows_with(paths, ("shift", barrier, delta))
    if len(rows):
        rows = rows_with(rows.assign(**{DISTANCE: rows["shift"].astype(str).map(distance_of_bands)}), [DISTANCE])
    if rows.empty:
        return blank_figure(title, NEEDED)
    groups, note = readable(groups_of(rows, leave_out=("shift",), always=("model",)))
    with house_style():
        figure, ((left, right),) = grid_of_panels(1, 2, titled(title, rows, note), width=5.6)
        for number, group in enumerate(groups):
            aside = BESIDE * (number - (len(groups) - 1) / 2)
            _draw(left, group, barrier, 1, aside)
            _draw(right, group, delta, 100, aside)
        left.axhline(FLAT_BELOW, color="black", linestyle="--", linewidth=0.8, label=f"no barrier up to {FLAT_BELOW:g}")
        right.axhline(LOST_BELOW, color="black", linestyle=(0, (1, 1)), label=LOST_LABEL)
        left.set_ylabel("barrier in basin (nats per sample)")
        right.set_ylabel(f"{in_words(score)} delta (percentage points)")
        for panel in (left, right):
            panel.set_xlabel("distance of the bands (nm)")
            panel.margins(x=0.08, y=0.15)
            _name_bands(panel, rows)
        shared_legend(figure, [left, right])
    return figure


def _name_bands(panel: Axes, rows: pd.DataFrame) -> None:
    """Write the bands over their distance, on an axis at the top."""
    places = rows.groupby(DISTANCE, sort=True)["shift"].unique()
    names = [", ".join(str(shift).removeprefix("bands_").replace("_", "-") for shift in found) for found in places]
    axis = panel.secondary_xaxis("top")
    axis.set_xticks(list(places.index), names, rotation=50, ha="left", fontsize=7)
    axis.tick_params(length=3)


def _draw(panel: Axes, group: Group, value: str, scale: float, aside: float) -> None:
    label: str | None = f"{group.label} ({num_text(group.rows, 'path')})"
    for _, rows in group.rows.groupby("shift", sort=True):
        table = over_seeds(rows, value, DISTANCE)
        place = table[DISTANCE] + aside
        style = {**group.style, "linestyle": "none", "markersize": 5, "capsize": 3}
        spread = scale * table["deviation"] if table["n"].max() > 1 else None
        panel.errorbar(place, scale * table["mean"], yerr=spread, label=label, **style)
        draw_numbers(panel, place, table, group.style["color"], scale)
        label = None
