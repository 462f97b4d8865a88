"""Finds a single layer that makes a barrier: with A's layer in B there is hardly one left."""

from dataclasses import dataclass

import numpy as np

from lmc_mlflow.batches import evenly_spaced
from lmc_mlflow.diagnosis.remedies import CALIBRATE, RECALIBRATE, Chosen
from lmc_mlflow.diagnosis.treated_paths import TreatedPaths, rows_of, sample_path
from lmc_mlflow.paths.barriers import Values
from lmc_mlflow.paths.layers.find import Layer, find_layers
from lmc_mlflow.paths.layers.walk import partial_segment

FEW = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
"""Alphas at which all layers are tried."""
MOST_LEFT = 0.2
"""Of the barrier: what is left without the layer."""
LEAST_OF_OTHERS = 0.5
"""Of the barrier: what is left without any other layer."""
MOST_LAYERS = 200


@dataclass(frozen=True)
class DecisiveLayer:
    """A layer without which there is hardly a barrier.

    Attributes:
        name: of the layer.
        remaining: the number that is explained, without the layer (1 + R,).
    """

    name: str
    remaining: Values


def find_decisive_layer(paths: TreatedPaths, chosen: Chosen, what: str, whole: float) -> DecisiveLayer | None:
    """Give B each layer of A in turn, and measure the path; the layer must be the only one that takes the barrier away.

    Args:
        paths: under remedies.
        chosen: the remedies.
        what: the number that is explained, a field of `PathSummary`.
        whole: its value with all layers.
    """
    subject = paths.treatable.subject
    layers = find_layers(subject.network, evenly_spaced(subject.test[0], 2))
    if not 2 <= len(layers) <= MOST_LAYERS:
        return None
    left = np.array([float(_without(paths, chosen, layers, i, FEW)[what][0]) for i in range(len(layers))])
    first = int(np.nanargmin(left)) if not np.isnan(left).all() else 0
    others = np.delete(left, first)
    if not (left[first] <= MOST_LEFT * whole and np.nanmin(others, initial=np.inf) >= LEAST_OF_OTHERS * whole):
        return None
    return DecisiveLayer(layers[first].name, _without(paths, chosen, layers, first, paths.alphas)[what])


def _without(
    paths: TreatedPaths, chosen: Chosen, layers: tuple[Layer, ...], number: int, alphas: Values
) -> dict[str, Values]:
    moved = tuple(i for i in range(len(layers)) if i != number)
    segment = partial_segment(paths.treatable.segment(chosen), layers, moved)
    bn = "recalibrate" if RECALIBRATE in chosen else "interpolate"
    samples = sample_path(paths.treatable, segment, alphas, paths.treatable.subject.test, bn)
    return rows_of(alphas, samples.calibrated if CALIBRATE in chosen else samples.plain, paths.bootstrap, "test")
