"""What is in the store? The read side of the tracking server: `from lmc_mlflow import query; query.paths()`."""

import os

# One bar for all downloads is drawn where it is wanted; MLflow's own is one for every file.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from lmc_mlflow.query.curves import ensemble_sizes, learning_curves, path_curves, with_points
from lmc_mlflow.query.tables import endpoints, ensembles, pairs, paths, pruned

__all__ = [
    "endpoints",
    "ensemble_sizes",
    "ensembles",
    "learning_curves",
    "pairs",
    "path_curves",
    "paths",
    "pruned",
    "with_points",
]
