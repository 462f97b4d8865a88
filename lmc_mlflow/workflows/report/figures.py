"""Draws the figures of a report from the same tables as its numbers."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lmc_mlflow import plots
from lmc_mlflow.findings.condition_table import Frames, within_pairs
from lmc_mlflow.models.families import Facts
from lmc_mlflow.papers.hepburn.tables import TITLES
from lmc_mlflow.papers.printed import PATH_TABLES
from lmc_mlflow.papers.report.my_runs import MyRuns
from lmc_mlflow.papers.report.sections import MY_RUNS, Picture
from lmc_mlflow.workflows.report.curves import ReportCurves, networks, where
from lmc_mlflow.workflows.report.hepburn_figures import Drawn, hepburn_figures

PHASE_CAPTION = (
    "Both sides of each pair, under the first batch-norm policy. The ground has the colour of the nearest cell; the "
    "line is where interpolation between cells passes 50 %."
)


def report_pictures(frames: Frames, tables: Mapping[str, pd.DataFrame], curves: ReportCurves) -> list[Picture]:
    """Draw the figures in the order of the page.

    Args:
        frames: prepared.
        tables: of the report.
        curves: read for these frames.
    """
    pictures = [
        _picture(plots.beside_paper(tables[name], TITLES[name]), TITLES[name], "", below=name) for name in PATH_TABLES
    ]
    pictures.append(_star_scheme())
    pictures.append(
        _picture(plots.phase_diagram(frames.paths), "Where are pairs connected?", PHASE_CAPTION, below=MY_RUNS)
    )
    drawn = {**hepburn_figures(frames, curves), **_disentangling(frames.paths)}
    return [*pictures, *(_picture(figure, title, text) for title, (figure, text) in drawn.items())]


def overview_picture(mine: MyRuns) -> Picture | None:
    """Draw the figure of the first section, for wide and for narrow screens; None where there is no path."""
    if not mine.conditions:
        return None
    caption = "Every path a marker; shaded: the side on which a path counts as connected."
    wide, narrow = (plots.svg_bytes(plots.overview(mine.conditions, narrow=way)) for way in (False, True))
    return Picture(wide, "My paths on test data", caption, narrow=narrow)


def _picture(figure: Any, title: str, caption: str, below: str = "") -> Picture:
    """Make a picture of a figure; of one without data, the command that it names."""
    command = plots.missing_command(figure)
    return Picture(b"" if command else plots.svg_bytes(figure), title, caption, below, command)


def _star_scheme() -> Picture:
    """Draw Fig. 1 of Sonthalia et al., which needs no runs: it stands below their table, where that has any."""
    title = "Convex set and star domain (Sonthalia et al.: Fig. 1)"
    return _picture(plots.star_domain_scheme(), title, f"{title}: a drawing, not data.", below="starlight_table_2")


def _disentangling(paths: pd.DataFrame) -> Drawn:
    """Draw the figures of Altintas et al., of paths between two networks of one initialization and other orders."""
    inside = within_pairs(paths)
    inside = inside[inside["bn"] == "interpolate"] if len(inside) else inside
    ordered = where(inside, shift="none", noise="different")
    deep = networks(ordered, _is_mlp_of_the_figures)
    return {
        "Does batch size decide? (Hepburn et al. against Altintas et al.)": (
            plots.barrier_by_noise_source(inside),
            "Conditions met at more than one batch size; batch norm interpolated.",
        ),
        "From ReLU to linear (Altintas et al.: Fig. 1)": (
            plots.error_barrier_by_slope(ordered),
            "Train is the mean of both sides.",
        ),
        "Dense, locally connected, convolutional, attention (Altintas et al.: Fig. 2)": (
            plots.error_barrier_by_model(networks(ordered, lambda facts: facts.family == "patches")),
            "One layer over patches of 4 x 4.",
        ),
        "Complexity of the data (Altintas et al.: Fig. 3)": (
            plots.error_barrier_by_model(where(deep, optimizer="sgd"), normalized=True),
            "MLPs with 1, 3 and 7 hidden layers, SGD.",
        ),
        "Adam (Altintas et al.: Fig. 5)": (
            plots.error_barrier_by_model(where(deep, optimizer="adam")),
            "MLPs with 1, 3 and 7 hidden layers.",
        ),
    }


def _is_mlp_of_the_figures(facts: Facts) -> bool:
    uniform = len(set(facts.widths)) == 1
    return facts.family == "MLP" and facts.depth in (1, 3, 7) and not facts.variant and uniform
