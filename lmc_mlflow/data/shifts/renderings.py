"""Renderings: what each side sees of an image, such as another band, a corruption or a rotation."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.data.memory import check_memory
from lmc_mlflow.data.pixels import ArraySource, BandSource, Source
from lmc_mlflow.data.readers.bigearthnet.bands import channels_of
from lmc_mlflow.data.readers.picture_store.source import PictureSource
from lmc_mlflow.data.shifts.corruptions import constant_of, corrupt, rotate


@dataclass(frozen=True)
class Rendering:
    """How the two sides see the same kind of image: side A's source of pixels, and side B's.

    Attributes:
        side_a: of a data set's source.
        side_b: the same, with the seed of whatever is random in it.
        own_scale: whether side B's images are normalized by constants of their own (another
            instrument) rather than side A's (the same instrument, of worse quality).
    """

    side_a: Callable[[Source], Source]
    side_b: Callable[[Source, int], Source]
    own_scale: bool


def corruption(found: re.Match[str]) -> Rendering:
    """Corrupt side B's images, for `corrupt_<kind>_<severity>`.

    Raises:
        ValueError: an unknown corruption or severity.
    """
    kind, severity = found[1], int(found[2])
    constant_of(kind, severity)
    return Rendering(_unchanged, lambda s, seed: ArraySource(corrupt(_bytes(found, s), kind, severity, seed)), False)


def rotation(found: re.Match[str]) -> Rendering:
    """Turn side B's images counter-clockwise, for `rotate_<degrees>`."""
    return Rendering(_unchanged, lambda s, _seed: ArraySource(rotate(_bytes(found, s), float(found[1]))), False)


def _unchanged(source: Source) -> Source:
    return source


def _bytes(found: re.Match[str], source: Source) -> NDArray[np.uint8]:
    if isinstance(source, ArraySource) and source.array.dtype == np.uint8:
        return np.ascontiguousarray(source.array)
    if isinstance(source, PictureSource):
        num_images, *shape = source.shape
        check_memory("imagefolder", num_images, math.prod(shape))
        return source.take(np.arange(num_images))
    raise ValueError(f"shift {found[0]!r} needs images of 8 bits a channel; choose another shift or data set")


def other_bands(found: re.Match[str]) -> Rendering:
    """Show side A one band or combination of a patch and side B another, for `bands_<x>_<y>` (Hepburn et al.).

    Raises:
        ValueError: an unknown band, or sides of different channel counts.
    """
    first, second = channels_of(found[1]), channels_of(found[2])
    if len(first) != len(second):
        raise ValueError(
            f"shift {found[0]!r}: {found[1]} has {len(first)} channels and {found[2]} has {len(second)}; one "
            "network cannot take both"
        )
    return Rendering(
        lambda source: _patches(source).in_bands(first),
        lambda source, _seed: _patches(source).in_bands(second),
        own_scale=True,
    )


def _patches(source: Source) -> BandSource:
    assert isinstance(source, BandSource), "loading refuses such a shift for images without bands"
    return source
