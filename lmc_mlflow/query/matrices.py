"""Reads the tables of matrices: pairs, networks, and the points of every segment."""

import tempfile
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from lmc_mlflow.contract import Artifact
from lmc_mlflow.query.runs import default_client
from lmc_mlflow.query.verified_artifacts import download_verified

BESIDE = ("name", "dataset", "model", "shift", "align", "reference", "bn", "split")
"""Columns of a matrix that stand beside its rows; its own verdicts and means do not."""
PAIR_COLUMNS = ["run_a", "run_b", "barrier_over_chord", "loss_middle", "constant", "connected", "good_average"]
NETWORK_COLUMNS = ["network", "label", "test_loss", "test_accuracy", "constant", "cluster", "mean_barrier"]
POINT_COLUMNS = ["run_a", "run_b", "alpha", "loss", "accuracy"]


def matrix_pairs(matrices: pd.DataFrame, uri: str | None = None) -> pd.DataFrame:
    """Read every pair of the given matrices (rows of `query.matrices()`), with every barrier.

    `run_id` is the matrix, `run_a` and `run_b` are the networks.

    Args:
        matrices: as said.
        uri: of the tracking server; None: MLflow's own settings.
    """
    return _rows(matrices, Artifact.MATRIX_PAIRS, PAIR_COLUMNS, uri)


def matrix_pairs_on_other_data(matrices: pd.DataFrame, uri: str | None = None) -> pd.DataFrame:
    """Read every pair of the given matrices on further test sets, which `test_on` names: as `matrix_pairs`.

    Matrices that were measured without `test_on` are passed over.
    """
    client = default_client(uri)
    kept = [
        any(file.path == Artifact.MATRIX_OTHER_PAIRS for file in client.list_artifacts(run_id))
        for run_id in matrices["run_id"]
    ]
    chosen = matrices[pd.Series(kept, index=matrices.index, dtype=bool)]
    return _rows(chosen, Artifact.MATRIX_OTHER_PAIRS, [*PAIR_COLUMNS, "test_on"], uri)


def matrix_networks(matrices: pd.DataFrame, uri: str | None = None) -> pd.DataFrame:
    """Read every network of the given matrices: `network` is its run, `constant` whether it is at chance level."""
    return _rows(matrices, Artifact.MATRIX_NETWORKS, NETWORK_COLUMNS, uri)


def matrix_points(matrices: pd.DataFrame, uri: str | None = None) -> pd.DataFrame:
    """Read every measure at every alpha of every pair of the given matrices."""
    return _rows(matrices, Artifact.MATRIX_POINTS, POINT_COLUMNS, uri)


def _rows(matrices: pd.DataFrame, path: str, columns: list[str], uri: str | None) -> pd.DataFrame:
    client = default_client(uri)
    tables = []
    beside = [name for name in BESIDE if name in matrices]
    for matrix in tqdm(matrices.to_dict(orient="records"), desc=path, leave=False, disable=None):
        run = client.get_run(matrix["run_id"])
        with tempfile.TemporaryDirectory() as folder:
            table = pd.read_csv(download_verified(client, run, [path], Path(folder))[path])
        own = {name: matrix[name] for name in beside}
        tables.append(table.assign(run_id=matrix["run_id"], **own))
    found = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["run_id", *beside])
    return found.reindex(columns=list(dict.fromkeys([*found.columns, *columns])))
