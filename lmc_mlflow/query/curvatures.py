"""Reads measured curvatures as a table, one row a run."""

from typing import Any

import pandas as pd

from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.curvature import CurvatureConfig
from lmc_mlflow.contract import Kind, tag
from lmc_mlflow.query.rows import FIXED, frame_of, runs_of, settings_of_run
from lmc_mlflow.query.runs import Run

TAGS = ("run_a", "run_b", "pair", "dataset", "model", "shift", "seed", "lr", "batch_size")
SETTINGS = [p.name for p in parameters(CurvatureConfig).values() if p.section == "bending"]


def curvatures(experiment: str | None = None, finished: bool = True, uri: str | None = None) -> pd.DataFrame:
    """Read one row for each measured curvature: its two networks, how it was measured, its numbers.

    `ends/eigenvalue`, `ends/trace` and `ends/adaptive_sharpness` are means over both networks. `pair` is empty where
    the two belong to no pair.

    Args:
        experiment: name of an experiment; None: all.
        finished: whether runs that have not finished are left out.
        uri: of the tracking server; None: of the one that MLflow's own settings name.
    """
    return frame_of(runs_of(Kind.CURVATURE, experiment, finished, uri), _row, [*FIXED, *TAGS, *SETTINGS])


def _row(run: Run) -> dict[str, Any]:
    tags = {name: run.data.tags.get(tag(name), "") for name in TAGS}
    return tags | settings_of_run(run, parameters(CurvatureConfig), SETTINGS)
