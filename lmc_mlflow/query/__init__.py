"""What is in the store? The read side of the tracking server: `from lmc_mlflow import query; query.paths()`."""

import importlib
import os
from typing import Any

# One bar for all downloads is drawn where it is wanted; MLflow's own is one for every file.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from lmc_mlflow.query.curves import ensemble_scores, ensemble_sizes, learning_curves, path_curves, with_points
from lmc_mlflow.query.matrices import matrix_networks, matrix_pairs, matrix_points
from lmc_mlflow.query.tables import alignments, endpoints, ensembles, matrices, pairs, paths, pruned, stars

__all__ = [
    "alignments",
    "endpoints",
    "ensemble_scores",
    "ensemble_sizes",
    "ensembles",
    "learning_curves",
    "matrices",
    "matrix_networks",
    "matrix_pairs",
    "matrix_points",
    "pairs",
    "path_curves",
    "paths",
    "pruned",
    "stars",
    "with_points",
]


def __getattr__(name: str) -> Any:
    """Look up names that moved elsewhere; they are found here for one more version."""
    if name == "decision_boundaries":
        return importlib.import_module("lmc_mlflow.findings.boundaries").decision_boundaries
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
