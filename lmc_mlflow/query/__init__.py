"""Reads the tracking store as tables: `from lmc_mlflow import query; query.paths()`."""

import importlib
from typing import Any

from lmc_mlflow.query.curvatures import curvatures
from lmc_mlflow.query.curves import (
    barrier_by_class,
    ensemble_members,
    ensemble_scores,
    ensemble_scores_on_other_data,
    ensemble_sizes,
    learning_curves,
    path_curves,
    with_points,
)
from lmc_mlflow.query.epochs import barriers_by_epoch
from lmc_mlflow.query.layers import layer_barriers
from lmc_mlflow.query.matrices import matrix_networks, matrix_pairs, matrix_pairs_on_other_data, matrix_points
from lmc_mlflow.query.tables import alignments, endpoints, ensembles, matrices, pairs, paths, pruned, stars

ELSEWHERE = {
    "decision_boundaries": "lmc_mlflow.findings.boundaries",
    "forecast": "lmc_mlflow.findings.forecast",
    "phase_table": "lmc_mlflow.findings.phase",
}
"""Function -> its module."""
__all__ = [
    "alignments",
    "barrier_by_class",
    "barriers_by_epoch",
    "curvatures",
    "endpoints",
    "ensemble_members",
    "ensemble_scores",
    "ensemble_scores_on_other_data",
    "ensemble_sizes",
    "ensembles",
    "layer_barriers",
    "learning_curves",
    "matrices",
    "matrix_networks",
    "matrix_pairs",
    "matrix_pairs_on_other_data",
    "matrix_points",
    "pairs",
    "path_curves",
    "paths",
    "pruned",
    "stars",
    "with_points",
]


def __getattr__(name: str) -> Any:
    """Return a function of a higher floor; `decision_boundaries` has moved there, its old name goes in a version."""
    if name in ELSEWHERE:
        return getattr(importlib.import_module(ELSEWHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
