"""Draws barriers of different batch sizes and rates at equal epochs, equal steps or equal training loss."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.config.train_pair import BUDGETS
from lmc_mlflow.findings.conditions import CONDITIONS, distinguishing
from lmc_mlflow.plots.encoding import Encoding
from lmc_mlflow.plots.facets import POINT, Facet, encoding_of, facets_of, point_settings
from lmc_mlflow.plots.groups import learnt_only, over_seeds, titled
from lmc_mlflow.plots.missing import PATHS, blank_figure, rows_with
from lmc_mlflow.plots.numbers import draw_numbers
from lmc_mlflow.plots.over_seeds.barriers.batch_and_lr import SPREAD
from lmc_mlflow.plots.over_seeds.barriers.noise_scale import scale_barriers, with_mean_of_ends
from lmc_mlflow.plots.style import SPLIT_LABELS, grid_of_panels, house_style, readable_log, shared_legend

BUDGET = "budget"
ALONG = {
    "noise_scale": "g = lr (N/B - 1), mean of both sides",
    "path_length": "length of the way in training, mean of both sides",
}
"""Measure of the endpoints -> label of the axis; a column of panels each."""
FORMS = {"steps": "{:g} steps", "until_train_loss": "training loss {:g}", "until_train_accuracy": "accuracy {:g}"}
"""Option that ends a training -> the words for its value, as in `equal steps`."""
MOST_ROWS = 6


def barrier_by_budget(paths: pd.DataFrame, endpoints: pd.DataFrame, split: str = "test") -> Figure:
    """Draw barrier in basin against noise scale and against path length, a row of panels for each budget of training.

    A point with a bar is a condition; the marker is the model, the colour batch size and rate. Every other setting in
    which the paths differ has rows of its own. Networks that have not learnt are left out and counted.

    Args:
        paths: from `query.paths`, within pairs.
        endpoints: from `query.endpoints`: noise scale and path length of both ends.
        split: test, train_a or train_b.
    """
    title = f"Barrier at equal budgets, {SPLIT_LABELS.get(split, split)} data; {SPREAD}"
    barrier = f"{split}/barrier_in_basin"
    rows = rows_with(paths, (barrier, "run_a", "run_b", "model", "lr", "batch_size", "epochs"))
    for name in ALONG:
        rows = with_mean_of_ends(rows, endpoints, name)
    rows, left_out = learnt_only(rows[(rows["noise_scale"] > 0) & (rows["path_length"] > 0)], split)
    if rows.empty:
        return blank_figure(title, PATHS)
    facets, note = _facets(rows)
    drawn = pd.concat([facet.rows for facet in facets])
    with house_style():
        size: dict[str, Any] = {"width": 4.6, "height": 3.4, "sharex": "col", "sharey": True}
        figure, grid = grid_of_panels(len(facets), len(ALONG), titled(title, rows, note + left_out), **size)
        encoding = encoding_of(drawn, facets[0].point)
        for panels, facet in zip(grid, facets, strict=True):
            for panel, (along, label) in zip(panels, ALONG.items(), strict=True):
                _draw(panel, facet, encoding, barrier, along)
                low, high = drawn[along].min() / 1.6, drawn[along].max() * 1.6
                panel.set(xlim=(low, high), xlabel=f"{label} (log scale)")
                readable_log(panel.xaxis, low, high)
            panels[0].set_title(facet.title, fontsize="small")
            panels[0].set_ylabel("barrier in basin (nats per sample)")
        encoding.add_entries(grid[0][0])
        shared_legend(figure, grid[0][:1])
    return figure


def _facets(rows: pd.DataFrame) -> tuple[list[Facet], str]:
    """Divide paths by their budget, and by what else they differ in; epochs that follow from steps are no setting."""
    rows = rows.assign(**{BUDGET: [_budget(row) for _, row in rows.iterrows()]})
    shown = point_settings(rows, reserved=1)
    passed_over = (*shown, "epochs", *BUDGETS)
    others = distinguishing(rows, [name for name in CONDITIONS if name not in passed_over])
    facets, _ = facets_of(rows, [BUDGET, *others], passed_over)
    kept = [Facet(facet.title, facet.rows, shown) for facet in facets[:MOST_ROWS]]
    more = len(facets) > MOST_ROWS
    return kept, f"\nthe first {MOST_ROWS} of {len(facets)} rows; the others are not drawn" if more else ""


def _budget(row: "pd.Series[Any]") -> str:
    for name in BUDGETS:
        if pd.notna(row.get(name)):
            return FORMS[name].format(row[name])
    return f"{row['epochs']:g} epochs"


def _draw(panel: Axes, facet: Facet, encoding: Encoding, barrier: str, along: str) -> None:
    for rows in facet.rows.groupby([*POINT, "epochs"], dropna=False, sort=True):
        table = over_seeds(rows[1].assign(all=0), barrier, "all")
        place = [float(rows[1][along].mean())]
        style = {**encoding.of(rows[1]), "markersize": 6, "capsize": 3}
        panel.errorbar(place, table["mean"], yerr=table["deviation"].fillna(0.0), **style)
        draw_numbers(panel, place, table, style["color"])
    scale_barriers(panel)
