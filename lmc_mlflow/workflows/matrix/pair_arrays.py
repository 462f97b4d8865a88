"""Turns the measurements of pairs into arrays that are written as a matrix's progress, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.paths.walk import Path
from lmc_mlflow.workflows.matrix.pairs import PairMeasurement

Arrays = dict[str, NDArray[Any]]
NUM_UNSETTLED = "num_unsettled"
_CURVES = ("alphas", "angles_deg", "manhattan")
_LENGTHS = ("distance", "distance_unaligned", "angle_deg", "angle_deg_unaligned")


def pack(pair: PairMeasurement, num_unsettled: int) -> Arrays:
    """Name a pair's measurements as float64 arrays below `<i>-<j>-<engine>-<score>/`, and count the matchings.

    Args:
        pair: the measurements.
        num_unsettled: matchings of all pairs so far that have not settled.
    """
    path = pair.path
    key = f"{pair.i}-{pair.j}-{path.engine}-{path.score}"
    found: Arrays = {name: np.array(getattr(path, name), dtype=np.float64) for name in _CURVES}
    for split, measured in path.values.items():
        found |= {f"{name}/{split}": np.array(values, dtype=np.float64) for name, values in measured.items()}
    found["lengths"] = np.array([getattr(pair, name) for name in _LENGTHS], dtype=np.float64)
    if path.variance_ratio is not None:
        found["variance_ratio"] = np.array(path.variance_ratio, dtype=np.float64)
    return {f"{key}/{name}": value for name, value in found.items()} | {NUM_UNSETTLED: np.array(num_unsettled)}


def unpack(arrays: Mapping[str, NDArray[Any]]) -> tuple[dict[tuple[int, int], PairMeasurement], int]:
    """Read what `pack` has named: networks i, j -> measurements, and the number of unsettled matchings."""
    keys = {name.split("/")[0] for name in arrays} - {NUM_UNSETTLED}
    pairs = [_unpack_pair(key, arrays) for key in sorted(keys)]
    return {(pair.i, pair.j): pair for pair in pairs}, int(arrays.get(NUM_UNSETTLED, 0))


def _unpack_pair(key: str, arrays: Mapping[str, NDArray[Any]]) -> PairMeasurement:
    i, j, engine, score = key.split("-")
    own = {name.removeprefix(f"{key}/"): value for name, value in arrays.items() if name.startswith(f"{key}/")}
    curves = {name: own[name] for name in _CURVES}
    values: dict[str, dict[str, NDArray[np.float64]]] = {}
    for name, value in own.items():
        if "/" in name:
            measure, split = name.split("/")
            # A run that an earlier version interrupted has accuracy or average precision under the name `score`.
            values.setdefault(split, {})[score if measure == "score" else measure] = value
    ratio = float(own["variance_ratio"]) if "variance_ratio" in own else None
    path = Path(curves["alphas"], values, curves["angles_deg"], curves["manhattan"], engine, ratio)
    return PairMeasurement(int(i), int(j), path, *own["lengths"].tolist())
