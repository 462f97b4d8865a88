"""Divides training samples by a user's own function, named as `<module>:<function>`, and renders side B by another."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.data.pixels import ArraySource, Source
from lmc_mlflow.data.shifts.renderings import Rendering
from lmc_mlflow.data.shifts.sides import Indices, Labels, Sides
from lmc_mlflow.own_code import call_own, own_function
from lmc_mlflow.seeds import derive_seed

RENDER = "render"
"""Attribute of a user's function: takes images (N, H, W, C) and a generator, returns what side B sees of them."""


def own_split(found: re.Match[str], labels: Labels, _num_classes: int, split_seed: int) -> Sides:
    """Call a user's function `split(labels, generator) -> indices of A, indices of B`.

    The generator is NumPy's, seeded by `split_seed` alone.

    Raises:
        ValueError: the function is missing or raises, or returns no two lists of samples.
    """
    name = found[0]
    generator = np.random.default_rng(derive_seed(split_seed, "split/own"))
    given = call_own("shift", name, labels.copy(), generator)
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise ValueError(f"shift {name!r} returned a {type(given).__name__}; return the indices of A and those of B")
    a, b = (_indices(name, side, part, len(labels)) for side, part in zip("AB", given, strict=True))
    return Sides(a, b)


def own_rendering(found: re.Match[str]) -> Rendering | None:
    """Return what side B sees by the function's attribute `render`; None where it has none.

    Raises:
        ValueError: the function is missing.
    """
    name = found[0]
    if not hasattr(own_function("shift", name), RENDER):
        return None
    return Rendering(lambda source: source, lambda source, seed: _render(name, source, seed), own_scale=False)


def _indices(name: str, side: str, given: Any, num_samples: int) -> Indices:
    array = np.asarray(given.detach().cpu().numpy() if hasattr(given, "detach") else given)
    if (
        array.ndim != 1
        or array.dtype.kind not in "iu"
        or (len(array) and (array.min() < 0 or array.max() >= num_samples))
    ):
        raise ValueError(
            f"shift {name!r}: side {side} is {array.dtype} of shape {array.shape}; give positions from 0 to "
            f"{num_samples - 1}"
        )
    if len(np.unique(array)) < len(array):
        raise ValueError(f"shift {name!r}: side {side} names a sample twice; name each once")
    return array.astype(np.int64)


def _render(name: str, source: Source, seed: int) -> Source:
    if not isinstance(source, ArraySource):
        raise ValueError(
            f"shift {name!r}: its images lie in a store, which cannot be rendered; choose another data set"
        )
    images = np.moveaxis(source.array, 1, -1)
    try:
        seen: NDArray[Any] = np.asarray(
            getattr(own_function("shift", name), RENDER)(images.copy(), np.random.default_rng(seed))
        )
    except Exception as error:  # noqa: BLE001 (it is the user's code, which may raise anything)
        raise ValueError(f"shift {name!r}: render raised {type(error).__name__}: {error}") from None
    if seen.shape != images.shape or seen.dtype != images.dtype:
        raise ValueError(
            f"shift {name!r}: render made {seen.dtype} {seen.shape} of {images.dtype} {images.shape}; keep both"
        )
    return ArraySource(np.ascontiguousarray(np.moveaxis(seen, -1, 1)))
