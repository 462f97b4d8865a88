"""Turns the rows of planes into arrays that are written as a plane's progress, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.paths.plane import Row


def pack(panel: str, index: int, row: Row) -> dict[str, NDArray[Any]]:
    """Name a row's losses and scores, an array (2, num_points), by `<panel>/<index>/<engine>`."""
    return {f"{panel}/{index}/{row.engine}": np.stack([row.losses, row.scores])}


def unpack(panel: str, arrays: Mapping[str, NDArray[Any]]) -> dict[int, Row]:
    """Read the rows of one panel that `pack` has named: index -> row."""
    rows = {}
    for name, (losses, scores) in arrays.items():
        of_panel, index, engine = name.split("/")
        if of_panel == panel:
            rows[int(index)] = Row(losses, scores, engine)
    return rows
