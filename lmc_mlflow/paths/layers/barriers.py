"""Computes the barrier of each layer, and how much of the whole path's rise it makes alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lmc_mlflow.paths.barriers import Values
from lmc_mlflow.paths.layers.find import Layer
from lmc_mlflow.paths.layers.walk import MODES, LayerPath

Curves = tuple[Values, Values]
"""Losses and scores (..., T)."""


def layer_barriers(alphas: Values, own: Curves, whole: Curves) -> dict[str, Values]:
    """Compute the numbers (...) of paths on which a layer moves, against the ends of the whole path.

    A network with one layer of another is nobody's trained network, so its loss is no end over which a barrier is
    measured: the ends are A and B.

    - `barrier`: the highest loss minus the mean of A's and B's.
    - `barrier_at_middle`: the same of the loss at alpha 0.5 (Adilova et al.); nan where it was not measured.
    - `error_barrier`: the highest error minus the mean of A's and B's.
    - `min_score_delta`: the lowest score minus the mean of A's and B's.
    - `share`: the rise over A's loss at the alpha where the whole path is highest, over the whole path's rise there: 1
      for a layer that makes all of the barrier alone, 0 for one that makes none; nan where A itself is the highest.

    Args:
        alphas: (T,).
        own: of the layer's path.
        whole: of the whole path, on the same images.
    """
    (losses, scores), (whole_losses, whole_scores) = own, whole
    ends = (whole_losses[..., 0] + whole_losses[..., -1]) / 2
    score = (whole_scores[..., 0] + whole_scores[..., -1]) / 2
    middle = np.flatnonzero(alphas == 0.5)
    top = whole_losses.argmax(axis=-1)[..., None]
    with np.errstate(invalid="ignore", divide="ignore"):
        rise, whole_rise = (
            np.take_along_axis(values, top, axis=-1)[..., 0] - whole_losses[..., 0] for values in (losses, whole_losses)
        )
        lowest = np.asarray(scores.min(axis=-1) - score)
        return {
            "barrier": np.asarray(losses.max(axis=-1) - ends),
            "barrier_at_middle": losses[..., middle[0]] - ends if len(middle) else np.full_like(ends, np.nan),
            "error_barrier": -lowest,
            "min_score_delta": lowest,
            "share": np.where(whole_rise > 0, rise / whole_rise, np.nan),
        }


def layer_rows(layers: Sequence[Layer], modes: Sequence[str], paths: Sequence[LayerPath]) -> Iterator[dict[str, Any]]:
    """Yield a row a mode, layer and split: `mode`, `number` (from 1), `layer`, `split`, and what `layer_barriers` has.

    Args:
        layers: in the order in which they run.
        modes: that were measured.
        paths: from `measure_layers`.
    """
    by_moved = {path.moved: path.path for path in paths}
    whole = by_moved[tuple(range(len(layers)))]
    for mode in modes:
        for i, layer in enumerate(layers):
            path = by_moved[MODES[mode](i, len(layers))]
            for split in path.values:
                own, of_whole = ((one.losses[split], one.scores[split]) for one in (path, whole))
                numbers: Mapping[str, Values] = layer_barriers(path.alphas, own, of_whole)
                row = {name: float(value) for name, value in numbers.items()}
                yield {"mode": mode, "number": i + 1, "layer": layer.name, "split": split, **row}
