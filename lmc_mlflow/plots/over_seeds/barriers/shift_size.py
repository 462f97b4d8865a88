"""Draws barriers against how large the shift between both sides is."""

import re

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.findings.thresholds import FLAT_BELOW
from lmc_mlflow.plots.groups import learnt_only, titled
from lmc_mlflow.plots.missing import blank_figure, rows_with
from lmc_mlflow.plots.over_seeds.barriers.batch_and_lr import SPREAD
from lmc_mlflow.plots.style import SPLIT_LABELS, group_style, house_style, panels, shared_legend

NEEDED = f"No paths under several shifts whose size was measured in the store yet: {RUN} sweep -P grid=shift_severity"
SIZES = {
    "shift/c2st_accuracy": "accuracy of telling the sides apart (C2ST; 0.5: no covariate shift)",
    "shift/label_divergence": "label divergence (bits; 0: equal labels)",
}
"""Measure of a pair -> label of its axis."""
WORD = "shift"


def barrier_by_shift_size(paths: pd.DataFrame, pairs: pd.DataFrame, split: str = "test") -> Figure:
    """Draw barrier in basin against both measures of the size of a shift: a point with bars for each shift.

    Colours are kinds of shift; points are named. Networks that have not learnt are left out and counted.

    Args:
        paths: from `query.paths`, within pairs.
        pairs: from `query.pairs`: sizes of the shifts.
        split: test, train_a or train_b.
    """
    title = f"Barrier by size of the shift, {SPLIT_LABELS.get(split, split)} data; {SPREAD}"
    barrier = f"{split}/barrier_in_basin"
    rows = rows_with(paths, (barrier, "pair", WORD))
    known = [name for name in SIZES if name in pairs]
    rows = rows.drop(columns=known, errors="ignore").join(pairs.set_index("run_id")[known], on="pair")
    rows, left_out = learnt_only(rows_with(rows, tuple(SIZES)), split)
    if rows.empty or rows[WORD].nunique() < 2:
        return blank_figure(title, NEEDED)
    families = rows[WORD].map(kind_of_shift)
    styles = {name: group_style(number) for number, name in enumerate(sorted(families.unique()))}
    with house_style():
        figure, axes = panels(len(SIZES), titled(title, rows, left_out), width=5.2, height=4.0, sharey=True)
        for panel, (size, label) in zip(axes, SIZES.items(), strict=True):
            for name, style in styles.items():
                _draw(panel, rows[families == name], size, barrier, name, style["color"])
            panel.axhline(
                FLAT_BELOW, color="black", linestyle="--", linewidth=0.8, label=f"no barrier up to {FLAT_BELOW:g}"
            )
            panel.set_xlabel(label)
        axes[0].set_ylabel("barrier in basin (nats per sample)")
        axes[0].set_ylim(bottom=0)
        shared_legend(figure, axes[:1])
    return figure


def kind_of_shift(shift: str) -> str:
    """Leave out the number at the end of a shift's name: `corrupt_blur` of `corrupt_blur_3`."""
    return re.sub(r"_?\d+$", "", shift)


def _draw(panel: Axes, rows: pd.DataFrame, size: str, barrier: str, name: str, color: str) -> None:
    table = rows.groupby(WORD)[[size, barrier]].agg(["mean", "std"])
    x, y = table[size], table[barrier]
    panel.errorbar(
        x["mean"], y["mean"], y["std"].fillna(0), x["std"].fillna(0), fmt="o", color=color, capsize=2, label=name
    )
    for shift, row in table.iterrows():
        number = re.search(r"\d+$", str(shift))
        place = (float(row[(size, "mean")]), float(row[(barrier, "mean")]))
        panel.annotate(number[0] if number else "", place, (4, 3), textcoords="offset points", fontsize="x-small")
