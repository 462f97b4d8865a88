"""Draws the figures of a report from the same tables as its numbers."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from lmc_mlflow import plots
from lmc_mlflow.findings.condition_table import Frames, within_pairs
from lmc_mlflow.findings.one_condition import RULE, one_condition
from lmc_mlflow.models.families import Facts, facts_of
from lmc_mlflow.papers.hepburn.tables import TITLES
from lmc_mlflow.papers.printed import PATH_TABLES
from lmc_mlflow.papers.report.my_runs import MyRuns
from lmc_mlflow.papers.report.sections import MY_RUNS, Picture

PHASE_CAPTION = (
    "Both sides of each pair, under the first batch-norm policy. The ground has the colour of the nearest cell; the "
    "line is where interpolation between cells passes 50 %."
)


def report_pictures(frames: Frames, tables: Mapping[str, pd.DataFrame], polar: pd.DataFrame) -> list[Picture]:
    """Draw the figures in the order of the page.

    Args:
        frames: prepared.
        tables: of the report.
        polar: points of the paths of `polar_paths`, from `query.path_curves`.
    """
    pictures = [
        _picture(plots.beside_paper(tables[name], TITLES[name]), TITLES[name], "", below=name) for name in PATH_TABLES
    ]
    pictures.append(_star_scheme())
    pictures.append(
        _picture(plots.phase_diagram(frames.paths), "Where are pairs connected?", PHASE_CAPTION, below=MY_RUNS)
    )
    inside = within_pairs(frames.paths)
    paths = inside[inside["bn"] == "interpolate"] if len(inside) else inside
    shifted = paths[paths["shift"] != "none"] if len(paths) else paths
    drawn = {
        "Covariate shift, batch size 32 (paper: Fig. 4)": (
            plots.barrier_by_model(_where(paths, shift="label_5050", batch_size=32, normalization="centered")),
            "Every path between the sides of a 50/50 pair, batch norm interpolated. The thin line is the paper's.",
        ),
        "ResNets on MNIST, batch size and learning rate (paper: Fig. 7)": (
            plots.barrier_by_batch_and_lr(_networks(_where(paths, dataset="mnist", shift="label_5050"), _is_resnet)),
            "Batch norm interpolated. One seed alone (n = 1) has no spread and settles nothing.",
        ),
        "Barrier and noise scale g = lr (N/B - 1)": (
            plots.barrier_by_noise_scale(shifted, frames.endpoints),
            "g is the noise scale of SGD; the paper uses it with Adam. Batch norm interpolated.",
        ),
        **_angles_and_distances(shifted),
        "Angle of connected pairs by family (paper: Fig. 14)": (
            plots.angle_by_family(shifted),
            "The reference of MLPs is that of random networks with and without batch norm apart: 42 and 90 degrees.",
        ),
        "Angle of connected pairs by condition (paper: Fig. 14)": (
            plots.angle_of_connected(shifted),
            "Where an angle is as large as that of two independent initializations it says nothing. The paper chooses "
            "pairs without a barrier that lose at most 6 points.",
        ),
        "Paths in polar coordinates (paper: Fig. 15)": (
            plots.polar_over_seeds(polar),
            f"A row is one training condition of a data set and family. {RULE}",
        ),
        "Final training loss (paper: Fig. 16)": (
            plots.final_training_loss(_where(frames.endpoints, shift="label_5050", normalization="centered")),
            "Mean of both sides of 50/50 pairs.",
        ),
        **_disentangling(frames.paths),
    }
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


def _angles_and_distances(paths: pd.DataFrame) -> dict[str, tuple[Any, str]]:
    """Draw Fig. 13 for each data set: distances compare within one network, and one figure has room for 12 panels."""
    text = "Angles are over all trainable parameters; with batch norm they are small for random networks too."
    parts = list(paths.groupby("dataset", sort=True)) if len(paths) else [("", paths)]
    return {
        f"Angle and distance (paper: Fig. 13){', ' if name else ''}{name}": (plots.angle_against_manhattan(rows), text)
        for name, rows in parts
    }


def _star_scheme() -> Picture:
    """Draw Fig. 1 of Sonthalia et al., which needs no runs: it stands below their table, where that has any."""
    title = "Convex set and star domain (Sonthalia et al.: Fig. 1)"
    return _picture(plots.star_domain_scheme(), title, f"{title}: a drawing, not data.", below="starlight_table_2")


def _disentangling(paths: pd.DataFrame) -> dict[str, tuple[Any, str]]:
    """Draw the figures of Altintas et al., of paths between two networks of one initialization and other orders."""
    inside = within_pairs(paths)
    inside = inside[inside["bn"] == "interpolate"] if len(inside) else inside
    ordered = _where(inside, shift="none", noise="different")
    deep = _networks(ordered, _is_mlp_of_the_figures)
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
            plots.error_barrier_by_model(_networks(ordered, lambda facts: facts.family == "patches")),
            "One layer over patches of 4 x 4.",
        ),
        "Complexity of the data (Altintas et al.: Fig. 3)": (
            plots.error_barrier_by_model(_where(deep, optimizer="sgd"), normalized=True),
            "MLPs with 1, 3 and 7 hidden layers, SGD.",
        ),
        "Adam (Altintas et al.: Fig. 5)": (
            plots.error_barrier_by_model(_where(deep, optimizer="adam")),
            "MLPs with 1, 3 and 7 hidden layers.",
        ),
    }


def polar_paths(frames: Frames) -> pd.DataFrame:
    """Choose the paths whose points the polar figure shows (`findings.one_condition`): within 50/50 pairs."""
    inside = within_pairs(frames.paths)
    if len(inside):
        inside = inside[(inside["bn"] == "interpolate") & (inside["shift"] == "label_5050")]
    return one_condition(inside)


def _where(frame: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    for name, value in wanted.items():
        frame = frame[frame[name] == value] if name in frame else frame
    return frame


def _networks(paths: pd.DataFrame, wanted: Callable[[Facts], bool]) -> pd.DataFrame:
    return paths[[wanted(facts_of(str(model))) for model in paths["model"]]] if len(paths) else paths


def _is_mlp_of_the_figures(facts: Facts) -> bool:
    uniform = len(set(facts.widths)) == 1
    return facts.family == "MLP" and facts.depth in (1, 3, 7) and not facts.variant and uniform


def _is_resnet(facts: Facts) -> bool:
    return facts.family == "ResNet" and not facts.library
