"""Selects the paths of connected pairs, for the figures of their angles."""

import pandas as pd

from lmc_mlflow.plots.missing import rows_with


def connected_pairs(paths: pd.DataFrame, angle: str) -> pd.DataFrame:
    """Select the paths of pairs whose verdict is connected, each once whatever its batch-norm policy.

    Args:
        paths: from `query.paths`.
        angle: the column that they must have.
    """
    rows = rows_with(paths, (angle, "connected", "model", "pair"))
    if rows.empty:
        return rows
    rows = rows[(rows["connected"] == "yes") & (rows["pair"] != "")]
    return rows.drop_duplicates([name for name in ("pair", "align", "path") if name in rows])
