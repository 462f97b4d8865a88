"""Reads the tables of one run."""

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lmc_mlflow.query.curves import read_split_table
from lmc_mlflow.query.runs import default_client
from lmc_mlflow.query.verified_artifacts import download_verified
from lmc_mlflow.schema import read_json

if TYPE_CHECKING:
    import pandas as pd

POINTS = "points.json"
"""Where the three networks of a plane lie on each panel."""
Points = dict[str, dict[str, tuple[float, float]]]


def read_table(run_id: str, path: str, uri: str | None = None) -> "pd.DataFrame":
    """Read a table that a run logged, verified against its manifest.

    Args:
        run_id: of the run.
        path: of the artifact: a .csv file, or a .json file with columns and data.
        uri: of the tracking server; None: MLflow's own settings.

    Raises:
        ValueError: the run has no such artifact, or it was altered.
    """
    import pandas as pd

    content = _content(run_id, path, uri)
    if path.endswith(".csv"):
        return pd.read_csv(io.BytesIO(content))
    return read_split_table(run_id, path, content)


def read_points(run_id: str, uri: str | None = None) -> Points:
    """Read where the three networks of a plane lie: panel -> corner -> place. Arguments as in `read_table`."""
    return read_json(Points, _content(run_id, POINTS, uri))


def _content(run_id: str, path: str, uri: str | None) -> bytes:
    client = default_client(uri)
    with tempfile.TemporaryDirectory() as folder:
        return download_verified(client, client.get_run(run_id), [path], Path(folder))[path].read_bytes()
