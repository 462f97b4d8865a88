"""Chooses and reads the curves that a report draws."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from lmc_mlflow import query
from lmc_mlflow.findings.chosen_conditions import one_of_each_family
from lmc_mlflow.findings.condition_table import Frames, within_pairs
from lmc_mlflow.models.families import Facts, facts_of


@dataclass(frozen=True)
class ReportCurves:
    """Curves of a report, from `query`.

    Attributes:
        polar: points of the paths of the polar figure.
        members: of the ensembles of the polar figure.
        variants: points of the paths of MLPs with and without batch norm and dropout.
        learning: by epoch, of MLPs on CIFAR-10.
    """

    polar: pd.DataFrame
    members: pd.DataFrame
    variants: pd.DataFrame
    learning: pd.DataFrame


def read_curves(frames: Frames) -> ReportCurves:
    """Read the curves of a report.

    Args:
        frames: prepared.
    """
    return ReportCurves(
        polar=query.path_curves(query.with_points(polar_paths(frames))),
        members=query.ensemble_members(polar_ensembles(frames)),
        variants=query.path_curves(query.with_points(variant_paths(frames))),
        learning=query.learning_curves(learning_endpoints(frames)),
    )


def polar_paths(frames: Frames) -> pd.DataFrame:
    """Choose the paths whose points the polar figure shows (`findings.chosen_conditions`): within 50/50 pairs."""
    inside = within_pairs(frames.paths)
    if len(inside):
        inside = inside[(inside["bn"] == "interpolate") & (inside["shift"] == "label_5050")]
    return one_of_each_family(inside)


def polar_ensembles(frames: Frames) -> pd.DataFrame:
    """Choose the ensembles whose members the polar figure shows, by the same rule: of networks of 50/50 pairs."""
    found = where(frames.ensembles, shift="label_5050")
    if len(found):
        path = (found["sampling"] == "lmc") & (found["bn"] == "interpolate")
        found = found[path | (found["sampling"] == "seeds")]
    return one_of_each_family(found)


def variant_paths(frames: Frames) -> pd.DataFrame:
    """Choose the paths of Fig. 19: MLPs of one rate and batch size; of each data set those with the most epochs."""
    inside = networks(within_pairs(frames.paths), _is_mlp)
    found = where(inside, bn="interpolate", **_FIGS_19_TO_21, normalization="centered")
    return _longest(found[found["shift"].isin(["label_5050", "label_2080"])] if len(found) else found)


def learning_endpoints(frames: Frames) -> pd.DataFrame:
    """Choose the networks of Figs. 20 and 21: MLPs on CIFAR-10, those with the most epochs."""
    found = where(frames.endpoints, **_FIGS_19_TO_21, dataset="cifar10", shift="label_5050", side="A")
    return _longest(networks(found, _is_mlp))


_FIGS_19_TO_21 = {"optimizer": "adam", "noise": "same", "lr": 0.001, "batch_size": 1024}


def _longest(runs: pd.DataFrame) -> pd.DataFrame:
    if runs.empty:
        return runs
    epochs = pd.to_numeric(runs["epochs"])
    return runs[epochs == epochs.groupby(runs["dataset"]).transform("max")]


def _is_mlp(facts: Facts) -> bool:
    return facts.family == "MLP"


def where(frame: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    """Select the rows with these values; a column that the table lacks selects nothing out."""
    for name, value in wanted.items():
        frame = frame[frame[name] == value] if name in frame else frame
    return frame


def networks(paths: pd.DataFrame, wanted: Callable[[Facts], bool]) -> pd.DataFrame:
    """Select the rows whose network has wanted facts."""
    return paths[[wanted(facts_of(str(model))) for model in paths["model"]]] if len(paths) else paths
