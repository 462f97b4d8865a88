"""Draws the figures of a report from the same tables as its numbers."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from lmc_mlflow import plots
from lmc_mlflow.findings.condition_table import Frames, within_pairs
from lmc_mlflow.models.families import Facts, facts_of
from lmc_mlflow.papers.hepburn.tables import TITLES
from lmc_mlflow.papers.printed import PATH_TABLES
from lmc_mlflow.papers.report.page import Picture

POLAR_PATHS = 5
"""Paths of each network in the polar figure, as in the paper."""


def report_pictures(frames: Frames, tables: Mapping[str, pd.DataFrame], polar: pd.DataFrame) -> list[Picture]:
    """Draw the figures in the order of the page.

    Args:
        frames: prepared.
        tables: of the report.
        polar: points of the paths of `polar_paths`, from `query.path_curves`.
    """
    pictures = [
        Picture(plots.png_bytes(plots.beside_paper(tables[name], TITLES[name])), TITLES[name], "", below=name)
        for name in PATH_TABLES
    ]
    inside = within_pairs(frames.paths)
    paths = inside[inside["bn"] == "interpolate"] if len(inside) else inside
    drawn = {
        "Covariate shift, batch size 32 (paper: Fig. 4)": (
            plots.barrier_by_model(_where(paths, shift="label_5050", batch_size=32, normalization="centered")),
            "Every path between the sides of a 50/50 pair, batch norm interpolated.",
        ),
        "ResNets on MNIST, batch size and learning rate (paper: Fig. 7)": (
            plots.barrier_by_batch_and_lr(_networks(_where(paths, dataset="mnist", shift="label_5050"), _is_resnet)),
            "Batch norm interpolated.",
        ),
        "Angle and distance (paper: Fig. 13)": (
            plots.angle_against_manhattan(paths, by=["model"] if len(paths) else None),
            "Angles are over all trainable parameters; with batch norm they are small for random networks too.",
        ),
        "Angle of connected pairs (paper: Fig. 14)": (
            plots.angle_of_connected(paths),
            "The dashed line is what two independent initializations have.",
        ),
        "Paths in polar coordinates (paper: Fig. 15)": (
            plots.polar_over_seeds(polar, by=["model"] if len(polar) else None),
            f"Up to {POLAR_PATHS} paths of each network.",
        ),
        "Final training loss (paper: Fig. 16)": (
            plots.final_training_loss(_where(frames.endpoints, shift="label_5050", normalization="centered")),
            "Mean of both sides of 50/50 pairs.",
        ),
        **_disentangling(frames.paths),
    }
    return [*pictures, *(Picture(plots.png_bytes(figure), title, text) for title, (figure, text) in drawn.items())]


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
    """Choose the paths whose points the polar figure shows: the first few, by run id, of every data set and network."""
    inside = within_pairs(frames.paths)
    if inside.empty:
        return inside
    inside = inside[(inside["bn"] == "interpolate") & (inside["shift"] == "label_5050")]
    return inside.sort_values("run_id").groupby(["dataset", "model"]).head(POLAR_PATHS)


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
