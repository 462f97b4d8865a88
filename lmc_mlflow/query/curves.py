"""Reads curves as tables: paths over alpha, learning over epochs, ensembles over their size."""

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from lmc_mlflow.config.curve import SEGMENT
from lmc_mlflow.contract import Artifact
from lmc_mlflow.errors import first_line
from lmc_mlflow.paths.calibrated import CALIBRATED
from lmc_mlflow.paths.measures import MEASURES
from lmc_mlflow.predictions.scores import ACCURACY, AVERAGE_PRECISION
from lmc_mlflow.query.runs import default_client, metric_curve
from lmc_mlflow.query.verified_artifacts import download_verified
from lmc_mlflow.schema import read_json

PATH_COLUMNS = ["alpha", "split", *MEASURES, *CALIBRATED, "angle_deg", "manhattan", "arc_length"]
"""A table has those measures that are defined for its labels and that its version measured."""
CLASS_COLUMNS = [
    "split",
    "class",
    "label",
    "num_samples",
    "num_a",
    "num_b",
    "seen_more",
    "alpha",
    "excess",
    "contribution",
    "own_barrier",
    "own_alpha",
]
LEARNING_COLUMNS = ["epoch", "split", "loss", "accuracy"]
"""Data sets of several labels an image have `average_precision` where others have `accuracy`."""
MEMBER_COLUMNS = ["member", "alpha", "angle_deg", "manhattan", "loss", "accuracy"]
SIZE_COLUMNS = ["size", "method", "accuracy", "accuracy_low", "accuracy_high"]
OTHER_SCORE_COLUMNS = ["split", "score", "value", "low", "high"]
SCORE_COLUMNS = ["size", "score", "value", "low", "high"]


@dataclass(frozen=True)
class _Table:
    columns: list[str]
    data: list[list[int | float | bool | str | None]]


def path_curves(
    paths: pd.DataFrame, uri: str | None = None, unaligned: bool = False, straight: bool = False
) -> pd.DataFrame:
    """Read every point of the given paths, one row an alpha and split, with the paths' own columns beside it.

    Args:
        paths: rows of `query.paths()`.
        uri: of the tracking server; None: MLflow's own settings.
        unaligned: of paths measured with `align`, the path to B as it was logged (column `align` says `none`); the
            others are left out.
        straight: of curves, the segment that was measured beside them (column `path` says `segment`); the others are
            left out.
    """
    if straight:
        paths = paths[paths["connected_straight"] != ""].assign(path=SEGMENT)
        return _from_artifact(paths, Artifact.PATH_STRAIGHT, PATH_COLUMNS, uri)
    if unaligned:
        paths = paths[paths["connected_unaligned"] != ""].assign(align="none")
    return _from_artifact(paths, Artifact.PATH_UNALIGNED if unaligned else Artifact.PATH, PATH_COLUMNS, uri)


def with_points(paths: pd.DataFrame, uri: str | None = None) -> pd.DataFrame:
    """Select the paths whose runs keep their points: runs imported without artifacts do not."""
    return _with_artifact(paths, Artifact.PATH, uri)


def barrier_by_class(paths: pd.DataFrame, uri: str | None = None) -> pd.DataFrame:
    """Read who pays for the barriers of the given paths (rows of `query.paths()`): one row a split and class.

    Paths that were logged before this was measured, or whose images have several labels each, are passed over.
    """
    kept = _with_artifact(paths, Artifact.BARRIER_BY_CLASS, uri)
    return _from_artifact(kept, Artifact.BARRIER_BY_CLASS, CLASS_COLUMNS, uri)


def ensemble_sizes(ensembles: pd.DataFrame, uri: str | None = None) -> pd.DataFrame:
    """Read accuracy against size of the given ensembles (rows of `query.ensembles()`), with their own columns too."""
    return _from_artifact(ensembles, Artifact.SIZES, SIZE_COLUMNS, uri)


def ensemble_members(ensembles: pd.DataFrame, uri: str | None = None) -> pd.DataFrame:
    """Read where the members of the given ensembles (rows of `query.ensembles()`) lie, one row a member.

    Angle and Manhattan distance are from the start of a path, the star, or the first member; loss and accuracy are the
    member's own on the test set. Ensembles that were logged before this was measured are passed over.
    """
    kept = _with_artifact(ensembles, Artifact.MEMBER_PLACES, uri)
    return _from_artifact(kept, Artifact.MEMBER_PLACES, MEMBER_COLUMNS, uri)


def ensemble_scores(ensembles: pd.DataFrame, uri: str | None = None) -> pd.DataFrame:
    """Read calibration error and areas against size of the given ensembles (rows of `query.ensembles()`).

    Ensembles that were logged before these were measured are passed over.
    """
    return _from_artifact(
        _with_artifact(ensembles, Artifact.SCORES_BY_SIZE, uri), Artifact.SCORES_BY_SIZE, SCORE_COLUMNS, uri
    )


def ensemble_scores_on_other_data(ensembles: pd.DataFrame, uri: str | None = None) -> pd.DataFrame:
    """Read the scores of the given ensembles (rows of `query.ensembles()`) on further test sets: a row a score and set.

    Ensembles that were scored without `test_on` are passed over.
    """
    kept = _with_artifact(ensembles, Artifact.OTHER_SCORES, uri)
    return _from_artifact(kept, Artifact.OTHER_SCORES, OTHER_SCORE_COLUMNS, uri)


def learning_curves(endpoints: pd.DataFrame, uri: str | None = None) -> pd.DataFrame:
    """Read loss and accuracy of the given endpoints (rows of `query.endpoints()`), one row an epoch and split."""
    client = default_client(uri)
    tables = []
    for run_id in tqdm(endpoints["run_id"], desc="learning curves", leave=False, disable=None):
        for split in ("train", "test"):
            names = ("loss", _score_of(endpoints, run_id))
            curves = {name: metric_curve(client, run_id, f"{split}/{name}") for name in names}
            table = pd.DataFrame(curves).rename_axis("epoch").reset_index().sort_values("epoch")
            tables.append(table.assign(split=split, run_id=run_id))
    return _beside(endpoints, tables, LEARNING_COLUMNS)


def _with_artifact(runs: pd.DataFrame, path: str, uri: str | None) -> pd.DataFrame:
    client = default_client(uri)
    kept = [any(file.path == path for file in client.list_artifacts(run_id)) for run_id in runs["run_id"]]
    return runs[pd.Series(kept, index=runs.index, dtype=bool)]


def _from_artifact(runs: pd.DataFrame, path: str, columns: list[str], uri: str | None) -> pd.DataFrame:
    client = default_client(uri)
    tables = []
    for run_id in tqdm(runs["run_id"], desc=path, leave=False, disable=None):
        with tempfile.TemporaryDirectory() as folder:
            files = download_verified(client, client.get_run(run_id), [path], Path(folder))
            table = read_split_table(run_id, path, files[path].read_bytes())
        tables.append(table.assign(run_id=run_id))
    return _beside(runs, tables, columns)


def read_split_table(run_id: str, path: str, content: bytes) -> pd.DataFrame:
    """Read the bytes of a table that was logged as columns and data; what has no number is nan.

    Args:
        run_id: for the error.
        path: of the artifact, for the error.
        content: of the artifact.

    Raises:
        ValueError: they are no table.
    """
    try:
        table = read_json(_Table, content)
        rows = [[math.nan if cell is None else cell for cell in row] for row in table.data]
        return pd.DataFrame(rows, columns=table.columns)
    except ValueError as error:
        raise ValueError(f"run {run_id}: its {path} cannot be used: {first_line(error)}") from None


def _beside(runs: pd.DataFrame, tables: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """The curves with the runs' columns; a column of both (accuracy, loss) is the curve's."""
    points = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["run_id", *columns])
    found = [name for name in dict.fromkeys([*columns, AVERAGE_PRECISION]) if name in points]
    rest = [name for name in runs.columns if name not in found]
    return points[["run_id", *found]].merge(runs[rest], on="run_id", how="left")


def _score_of(endpoints: pd.DataFrame, run_id: str) -> str:
    column = f"test/{AVERAGE_PRECISION}"
    if column not in endpoints:
        return ACCURACY
    return AVERAGE_PRECISION if endpoints.set_index("run_id")[column].notna()[run_id] else ACCURACY
