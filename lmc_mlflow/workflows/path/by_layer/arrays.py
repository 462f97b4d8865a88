"""Turns measured layer paths into arrays that are written as a run's progress, and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.config.path import PathConfig
from lmc_mlflow.paths.barriers import Values
from lmc_mlflow.paths.intervals import interval_of
from lmc_mlflow.paths.layers.barriers import Curves, layer_barriers
from lmc_mlflow.paths.layers.walk import Moved
from lmc_mlflow.predictions.ensembles import Interval
from lmc_mlflow.workflows.path.by_layer.measurer import MeasuredLayerPath

Arrays = dict[str, NDArray[Any]]
RESAMPLES = "resamples"
"""How intervals were computed; progress with other intervals is not gone on from."""


@dataclass(frozen=True)
class LayerNumbers:
    """What is logged of a path on which some layers move.

    Attributes:
        values: split -> measure -> (T,).
        numbers: split -> name -> value and interval; its ends are nan without resamples.
        engine: that measured it.
    """

    values: Mapping[str, Mapping[str, Values]]
    numbers: Mapping[str, Mapping[str, Interval]]
    engine: str


def numbers_of(measured: MeasuredLayerPath, whole: Mapping[str, Curves], confidence: float) -> LayerNumbers:
    """Compute the numbers of a path against the whole one, with their intervals.

    Args:
        measured: the path.
        whole: split -> the curves of the whole path.
        confidence: of the intervals.
    """
    path = measured.own.path
    numbers = {
        split: {
            name: interval_of(rows, confidence)
            for name, rows in layer_barriers(path.alphas, curves, whole[split], path.score).items()
        }
        for split, curves in measured.curves.items()
    }
    return LayerNumbers(path.values, numbers, path.engine)


def pack(moved: Moved, num_layers: int, found: LayerNumbers) -> Arrays:
    """Name the numbers of a path as arrays below `<a 1 for each layer that moves>-<engine>/`."""
    key = "".join("01"[i in moved] for i in range(num_layers)) + f"-{found.engine}"
    arrays: Arrays = {}
    for split, values in found.values.items():
        arrays |= {f"{key}/{split}/values/{name}": np.asarray(curve, np.float64) for name, curve in values.items()}
        arrays |= {
            f"{key}/{split}/numbers/{name}": np.array([own.value, own.low, own.high], np.float64)
            for name, own in found.numbers[split].items()
        }
    return arrays


def unpack(arrays: Mapping[str, NDArray[Any]]) -> dict[Moved, LayerNumbers]:
    """Read what `pack` has named: layers that moved -> numbers."""
    values: dict[str, dict[str, dict[str, Values]]] = {}
    numbers: dict[str, dict[str, dict[str, Interval]]] = {}
    for name, array in arrays.items():
        if name.count("/") != 3:
            continue
        key, split, what, measure = name.split("/")
        if what == "values":
            values.setdefault(key, {}).setdefault(split, {})[measure] = array
        else:
            numbers.setdefault(key, {}).setdefault(split, {})[measure] = Interval(*array.tolist())
    found = {}
    for key in values:
        mask, _, engine = key.partition("-")
        found[tuple(i for i, digit in enumerate(mask) if digit == "1")] = LayerNumbers(
            values[key], numbers[key], engine
        )
    return found


def pack_whole(curves: Mapping[str, Curves], config: PathConfig) -> Arrays:
    """Name the curves of the whole path, against which all others are measured, and how they were resampled."""
    arrays: Arrays = {f"whole/{split}": np.stack(both) for split, both in curves.items()}
    return arrays | {RESAMPLES: _resamples(config)}


def unpack_whole(arrays: Mapping[str, NDArray[Any]], config: PathConfig) -> dict[str, Curves] | None:
    """Read the curves of the whole path; None where there are none, or where their intervals were others."""
    if RESAMPLES not in arrays or not np.array_equal(arrays[RESAMPLES], _resamples(config)):
        return None
    names = [name for name in arrays if name.startswith("whole/")]
    return {name.partition("/")[2]: (arrays[name][0], arrays[name][1]) for name in names}


def _resamples(config: PathConfig) -> Values:
    return np.array([config.num_resamples, config.confidence, config.resamples_seed], np.float64)
