"""Reads the tables of paths that were measured after several epochs of one training."""

import pandas as pd

from lmc_mlflow.contract import Artifact, Kind, Tag
from lmc_mlflow.query.tables import pairs
from lmc_mlflow.query.tables_of_runs import tables_of_runs

BESIDE = {"pair": Tag.PAIR, "bn": Tag.BN, "align": Tag.ALIGN, "run_a": Tag.RUN_A, "run_b": Tag.RUN_B}
"""Column -> tag of the run; settings of the training follow."""
OF_PAIR = ["seed", "normalization", "noise", "optimizer", "epochs"]
"""Settings that the pair knows and the run does not."""
COLUMNS = ["epoch", "split", "barrier", "barrier_over_chord", "barrier_in_basin", "error_barrier", "angle_deg"]


def barriers_by_epoch(experiment: str | None = None, finished: bool = True, uri: str | None = None) -> pd.DataFrame:
    """Read a row for each epoch and split of a path over kept epochs, with every barrier and the pair's settings.

    `run_id` is the run; `epochs` is how many the training had, `epoch` the one after which was measured.

    Args:
        experiment: as in `pairs`.
        finished: as in `pairs`.
        uri: as in `pairs`.
    """
    found = tables_of_runs(Kind.PATH_BY_EPOCH, Artifact.BARRIER_BY_EPOCH, BESIDE, experiment, finished, uri)
    trained = pairs(finished=False, uri=uri).set_index("run_id")
    absent = [name for name in OF_PAIR if name not in found]
    found = found.join(trained[absent], on="pair") if len(trained) else found
    return found.reindex(columns=list(dict.fromkeys([*found.columns, *absent, *COLUMNS])))
