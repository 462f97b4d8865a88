"""Draws the figures of Hepburn et al. that a report holds."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from lmc_mlflow import plots
from lmc_mlflow.findings.chosen_conditions import RULE
from lmc_mlflow.findings.condition_table import Frames, within_pairs
from lmc_mlflow.models.families import Facts, facts_of
from lmc_mlflow.papers.hepburn.training_loss_claims import PRINTED_ACCURACY
from lmc_mlflow.workflows.report.curves import ReportCurves, networks, where

Drawn = dict[str, tuple[Any, str]]
"""Title -> a figure and its caption."""


def hepburn_figures(frames: Frames, curves: ReportCurves) -> Drawn:
    """Draw the figures in the order of the paper.

    Args:
        frames: prepared.
        curves: read for these frames.
    """
    inside = within_pairs(frames.paths)
    interpolated = inside[inside["bn"] == "interpolate"] if len(inside) else inside
    paths = where(interpolated, optimizer="adam")  # as in the paper
    return {
        **_barriers(paths),
        **_noise_scale(frames, interpolated),
        **_similarity(paths, curves.polar),
        **_training(frames, curves),
        **_ensembles(curves.members),
    }


def _shifted(paths: pd.DataFrame) -> pd.DataFrame:
    return paths[paths["shift"] != "none"] if len(paths) else paths


def _barriers(paths: pd.DataFrame) -> Drawn:
    return {
        "Covariate shift, batch size 32 (paper: Fig. 4)": (
            plots.barrier_by_model(_at_rates_of_fig_4(paths)),
            "Every path between the sides of a 50/50 pair at learning rate 0.001 (VGG 0.0001), batch norm "
            "interpolated. The dotted line is the paper's, at -5 points; verdicts follow the threshold, as does its "
            "bold print.",
        ),
        "ResNets on MNIST, batch size and learning rate (paper: Fig. 7)": (
            plots.barrier_by_batch_and_lr(networks(where(paths, dataset="mnist", shift="label_5050"), _is_resnet)),
            "Batch norm interpolated. One seed alone (n = 1) has no spread and settles nothing.",
        ),
        "Bands of BigEarthNet, distance in nanometres (paper: Fig. 9)": (
            plots.barrier_by_band_distance(paths),
            "Batch norm interpolated. Of combinations the mean over the channels of the difference in wavelength.",
        ),
    }


def _at_rates_of_fig_4(paths: pd.DataFrame) -> pd.DataFrame:
    rows = where(paths, shift="label_5050", batch_size=32, normalization="centered")
    if rows.empty:
        return rows
    rates = [0.0001 if facts_of(str(model)).family == "VGG" else 0.001 for model in rows["model"]]
    return rows[rows["lr"] == rates]


def _noise_scale(frames: Frames, paths: pd.DataFrame) -> Drawn:
    return {
        "Barrier and noise scale g = lr (N/B - 1)": (
            plots.barrier_by_noise_scale(_shifted(paths), frames.endpoints),
            "g is the noise scale of SGD; the paper uses it with Adam. Batch norm interpolated.",
        ),
    }


def _similarity(paths: pd.DataFrame, polar: pd.DataFrame) -> Drawn:
    shifted = _shifted(paths)
    return {
        **_of_each_dataset(
            "Angle and distance (paper: Fig. 13)",
            "Angles are over all trainable parameters; with batch norm they are small for random networks too.",
            shifted,
            plots.angle_against_manhattan,
        ),
        "Angle of connected pairs by family (paper: Fig. 14)": (
            plots.angle_by_family(shifted),
            "Of MLPs without batch norm two random ones are 90 degrees apart, of those with batch norm 42.",
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
    }


def _of_each_dataset(title: str, text: str, rows: pd.DataFrame, draw: Callable[[pd.DataFrame], Any]) -> Drawn:
    """Draw a figure for each data set: one has no room for the panels of several."""
    parts = list(rows.groupby("dataset", sort=True)) if len(rows) else [("", rows)]
    return {f"{title}{', ' if name else ''}{name}": (draw(part), text) for name, part in parts}


def _training(frames: Frames, curves: ReportCurves) -> Drawn:
    ends = where(frames.endpoints, shift="label_5050", normalization="centered", optimizer="adam")
    return {
        **_of_each_dataset(
            "Final training loss (paper: Fig. 16)",
            "Mean of both sides of 50/50 pairs. Whether MLPs change against ResNets and VGGs: claims H-51a and b.",
            ends,
            plots.final_training_loss,
        ),
        "MLPs under 50/50 and 20/80 (paper: Fig. 19)": (
            plots.paths_by_variant(curves.variants),
            "Learning rate 0.001, batch size 1,024, centered images, batch norm interpolated. Of each data set "
            "the runs with the most epochs.",
        ),
        "Learning curves, centered and in [0, 1] (paper: Figs. 20 and 21)": (
            plots.learning_by_scaling(curves.learning, printed=PRINTED_ACCURACY),
            "CIFAR-10, 50/50, learning rate 0.001, batch size 1,024, side A; the runs with the most epochs. The dotted "
            "lines are the training accuracies in the text: "
            + ", ".join(f"{accuracy:g} % {scaling}" for scaling, accuracy in PRINTED_ACCURACY.items())
            + ".",
        ),
    }


def _ensembles(members: pd.DataFrame) -> Drawn:
    return {
        "How ensembles are made (paper: Fig. 17)": (plots.ensemble_scheme(), "The scheme; nothing in it is measured."),
        "Members of ensembles in polar coordinates (paper: Figs. 17 and 22)": (
            plots.polar_of_ensembles(members),
            "Points of a path seen from A; networks of several seeds seen from the first. A row is one training "
            "condition of a data set and family.",
        ),
    }


def _is_resnet(facts: Facts) -> bool:
    return facts.family == "ResNet" and not facts.library
