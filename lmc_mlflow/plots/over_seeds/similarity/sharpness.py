"""Draws how sharp the loss is against the angle of both networks, and against the diversity of ensembles."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lmc_mlflow.findings.conditions import plain_rows
from lmc_mlflow.findings.sentences import is_first_policy, measured_last
from lmc_mlflow.hessian.measures import MEASURES
from lmc_mlflow.plots.groups import Group, groups_of, learnt_only, num_text, readable, titled
from lmc_mlflow.plots.missing import CURVATURES, blank_figure, rows_with
from lmc_mlflow.plots.style import grid_of_panels, house_style, readable_log, shared_legend

SHARPNESS = "sharpness"
"""Column of the number that is drawn."""
DIVERSITY = {
    "wrong_disagreement": "wrong disagreement WD",
    "wrong_agreement": "wrong agreement WA",
    "mutual_information": "mutual information (nats)",
}


def angle_against_sharpness(
    paths: pd.DataFrame, curvatures: pd.DataFrame, measure: str = "adaptive_sharpness"
) -> Figure:
    """Draw the angle between both sides of a pair against their sharpness; filled markers are connected.

    Args:
        paths: from `query.paths`.
        curvatures: from `query.curvatures`.
        measure: of `hessian.measures.MEASURES`, mean over both networks.

    Raises:
        ValueError: there is no such measure.
    """
    title = "Angle between both sides of a pair against the sharpness of their loss; filled: connected"
    plain = measured_last(plain_rows(paths))  # whether a curve or an aligned network is connected is another question
    rows = rows_with(_joined(plain[is_first_policy(plain)], curvatures, measure), (SHARPNESS, "angle_deg", "connected"))
    rows, left_out = learnt_only(rows.drop_duplicates("pair", keep="last") if len(rows) else rows)
    if rows.empty:
        return blank_figure(title, CURVATURES)
    groups, note = readable(groups_of(rows, leave_out=("bn",), always=("model",)))
    with house_style():
        figure, ((panel,),) = grid_of_panels(1, 1, titled(title, rows, note + left_out), width=6.0, height=4.0)
        for group in groups:
            for is_connected, part in group.rows.groupby(group.rows["connected"] == "yes"):
                _points(panel, group, part, "angle_deg", "full" if is_connected else "none")
        panel.set(xlabel=_label(measure), ylabel="angle (degrees)")
        panel.set_ylim(0, 1.1 * float(rows["angle_deg"].max()))
        readable_log(panel.xaxis, *panel.get_xlim())
        _name(panel, groups)
        shared_legend(figure, [panel])
    return figure


def diversity_against_sharpness(
    ensembles: pd.DataFrame, curvatures: pd.DataFrame, measure: str = "adaptive_sharpness"
) -> Figure:
    """Draw how much the points of a pair's path disagree, as an ensemble, against the sharpness of the pair's loss.

    Args:
        ensembles: from `query.ensembles`; those of seeds belong to no pair and are left out.
        curvatures: from `query.curvatures`.
        measure: as in `angle_against_sharpness`.

    Raises:
        ValueError: there is no such measure.
    """
    title = "Diversity of the ensemble of a path against the sharpness of its loss"
    rows = rows_with(_joined(ensembles, curvatures, measure), (SHARPNESS, "wrong_disagreement"))
    if rows.empty:
        return blank_figure(title, CURVATURES)
    names = [name for name in DIVERSITY if name in rows and rows[name].notna().any()]
    groups, note = readable(groups_of(rows, leave_out=("bn",), always=("model", "num_members")))
    with house_style():
        figure, (panels,) = grid_of_panels(1, len(names), titled(title, rows, note), width=4.0)
        for panel, name in zip(panels, names, strict=True):
            for group in groups:
                _points(panel, group, group.rows, name, "full")
            panel.set(xlabel=_label(measure), ylabel=DIVERSITY[name])
            readable_log(panel.xaxis, *panel.get_xlim())
        _name(panels[0], groups)
        shared_legend(figure, panels)
    return figure


def _joined(rows: pd.DataFrame, curvatures: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Give each row the sharpness of its pair, that which was measured last."""
    if measure not in MEASURES:
        raise ValueError(f"measure={measure!r}: there are {', '.join(MEASURES)}")
    column = f"ends/{measure}"
    if "pair" not in rows or column not in curvatures:
        return rows.iloc[:0]
    known = curvatures[(curvatures["pair"] != "") & curvatures[column].notna()].sort_values("start_time")
    values = known.drop_duplicates("pair", keep="last").set_index("pair")[column]
    return rows.assign(**{SHARPNESS: rows["pair"].map(values)})


def _points(panel: Axes, group: Group, rows: pd.DataFrame, name: str, fill: str) -> None:
    style = {**group.style, "linestyle": "none", "markersize": 6, "fillstyle": fill}
    panel.plot(rows[SHARPNESS], rows[name], **style)
    panel.set_xscale("log")


def _name(panel: Axes, groups: Sequence[Group]) -> None:
    for group in groups:
        style = {**group.style, "linestyle": "none", "markersize": 6}
        panel.plot([], [], label=f"{group.label} ({num_text(group.rows, 'pair')})", **style)


def _label(measure: str) -> str:
    return f"{MEASURES[measure].words}, mean of both networks"
