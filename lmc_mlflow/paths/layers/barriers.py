"""Computes the barrier of each layer, and how much of the whole path's rise it makes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lmc_mlflow.paths.barriers import Values
from lmc_mlflow.paths.layers.find import Layer
from lmc_mlflow.paths.layers.walk import MODES, LayerPath

Curves = tuple[Values, Values]
"""Losses and scores (..., T)."""
Numbers = Mapping[str, Values]
"""Name -> (...)."""
ROUNDING = 1e-6
"""Nats: a rise that is no larger is rounding, of float32 weights between two equal ones."""


def layer_barriers(alphas: Values, own: Curves, whole: Curves, score: str) -> dict[str, Values]:
    """Compute the numbers (...) of a path on which some layers move, against the ends of the whole path.

    A network with some layers of another is nobody's trained network, so its loss is no end over which a barrier is
    measured: the ends are A and B.

    - `barrier`: the highest loss minus the mean of A's and B's.
    - `barrier_at_middle`: the same of the loss at alpha 0.5 (Adilova et al.); nan where it was not measured.
    - `error_barrier`: the highest error minus the mean of A's and B's.
    - `min_<score>_delta`: the lowest score minus the mean of A's and B's.
    - `share`: the rise over A's loss at the alpha where the whole path is highest, over the whole path's rise there: 1
      for layers that make all of the barrier, 0 for layers that make none; nan where A itself is the highest.

    Args:
        alphas: (T,).
        own: of the path.
        whole: of the whole path, on the same images.
        score: `accuracy` or `average_precision`.
    """
    (losses, scores), (whole_losses, whole_scores) = own, whole
    ends = (whole_losses[..., 0] + whole_losses[..., -1]) / 2
    middle = np.flatnonzero(alphas == 0.5)
    top = whole_losses.argmax(axis=-1)[..., None]
    with np.errstate(invalid="ignore", divide="ignore"):
        rise, whole_rise = (
            np.take_along_axis(values, top, axis=-1)[..., 0] - whole_losses[..., 0] for values in (losses, whole_losses)
        )
        lowest = np.asarray(scores.min(axis=-1) - (whole_scores[..., 0] + whole_scores[..., -1]) / 2)
        return {
            "barrier": np.asarray(losses.max(axis=-1) - ends),
            "barrier_at_middle": losses[..., middle[0]] - ends if len(middle) else np.full_like(ends, np.nan),
            "error_barrier": -lowest,
            f"min_{score}_delta": lowest,
            "share": np.where(whole_rise > ROUNDING, rise / whole_rise, np.nan),
        }


def contributions(mode: str, shares: Values) -> Values:
    """Compute what each layer (L,) adds to the share of the layers that move with it.

    Alone: its own share. Below and above: the share with it less the share without it; these sum to 1. Complement: what
    is gone when all but it move.

    Args:
        mode: a row of `MODES`.
        shares: (L,) of the mode's paths, in the order of the layers.
    """
    if mode == "below":
        return np.diff(shares, prepend=0.0)
    if mode == "above":
        return -np.diff(shares, append=0.0)
    return 1 - shares if mode == "complement" else shares


def layer_rows(layers: Sequence[Layer], modes: Sequence[str], paths: Sequence[LayerPath]) -> Iterator[dict[str, Any]]:
    """Yield a row a mode, layer and split: `mode`, `number` (from 1), `layer`, `split`, and the layer's numbers.

    They are those of `layer_barriers` for the layers that the mode moves, and `contribution`, of the layer itself.

    Args:
        layers: in the order in which they run.
        modes: that were measured.
        paths: from `measure_layers`.
    """
    by_moved = {path.moved: path.path for path in paths}
    whole = by_moved[tuple(range(len(layers)))]
    for split in whole.values:
        of_whole = whole.losses[split], whole.scores[split]
        numbers = {
            moved: layer_barriers(path.alphas, (path.losses[split], path.scores[split]), of_whole, whole.score)
            for moved, path in by_moved.items()
        }
        yield from rows_of_split(layers, modes, split, numbers)


def rows_of_split(
    layers: Sequence[Layer], modes: Sequence[str], split: str, numbers: Mapping[tuple[int, ...], Numbers]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a split; arguments as in `layer_rows`.

    Args:
        layers: as there.
        modes: as there.
        split: its name.
        numbers: layers that moved -> their numbers.
    """
    for mode in modes:
        found = [numbers[MODES[mode](i, len(layers))] for i in range(len(layers))]
        added = contributions(mode, np.array([float(own["share"]) for own in found]))
        for i, (layer, own) in enumerate(zip(layers, found, strict=True)):
            row = {"mode": mode, "number": i + 1, "layer": layer.name, "split": split}
            yield row | {name: float(value) for name, value in own.items()} | {"contribution": float(added[i])}
