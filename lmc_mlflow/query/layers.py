"""Reads the tables of paths on which some layers move."""

import pandas as pd

from lmc_mlflow.contract import Artifact, Kind, Tag
from lmc_mlflow.query.tables_of_runs import tables_of_runs

BESIDE = {"run_a": Tag.RUN_A, "run_b": Tag.RUN_B, "pair": Tag.PAIR, "bn": Tag.BN, "align": Tag.ALIGN}
"""Column -> tag of the run; settings of the training follow."""
COLUMNS = ["mode", "number", "layer", "split", "barrier", "barrier_at_middle", "share", "contribution", "low"]


def layer_barriers(experiment: str | None = None, finished: bool = True, uri: str | None = None) -> pd.DataFrame:
    """Read a row for each layer that moved on a path, with its barriers and what it contributes.

    `run_id` is the run, `mode` says which layers moved with it, `number` counts layers in the order in which they run;
    0 is the whole path.

    Args:
        experiment: as in `pairs`.
        finished: as in `pairs`.
        uri: as in `pairs`.
    """
    found = tables_of_runs(Kind.PATH_BY_LAYER, Artifact.BARRIER_BY_LAYER, BESIDE, experiment, finished, uri)
    return found.reindex(columns=list(dict.fromkeys([*found.columns, *COLUMNS])))
