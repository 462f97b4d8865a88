"""Resamples a band of 20 m or 60 m to 120 x 120 pixels."""

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.data.readers.bigearthnet.bands import BANDS, FULL_SIZE

Pixels = NDArray[np.uint16]
SIZES = sorted({band.size for band in BANDS.values()})


def to_full_size(pixels: Pixels) -> Pixels:
    """Resample a patch (n, n) to (120, 120): bilinear, pixel centres and edges kept, halves rounded to even.

    The same as torch's `interpolate(mode="bilinear", align_corners=False)`, but in whole numbers until the
    one division, so that every machine writes the same store to the last bit.

    Raises:
        ValueError: not uint16, or not of a size that a band is archived in.
    """
    if pixels.dtype != np.uint16 or pixels.ndim != 2 or len(set(pixels.shape)) != 1 or len(pixels) not in SIZES:
        raise ValueError(
            f"pixels of {pixels.dtype} {pixels.shape}; a band is uint16 of {', '.join(f'{n} x {n}' for n in SIZES)}"
        )
    num = len(pixels)
    if num == FULL_SIZE:
        return pixels
    scale = FULL_SIZE // num
    # Pixel i has its centre at (i + 0.5) / scale - 0.5 of the small grid; everything here is that times 2 scale.
    position = 2 * np.arange(FULL_SIZE) + 1 - scale
    before, weight = np.divmod(position, 2 * scale)
    first, second = np.clip(before, 0, num - 1), np.clip(before + 1, 0, num - 1)
    rest = 2 * scale - weight
    whole = pixels.astype(np.int64)
    rows = whole[first] * rest[:, None] + whole[second] * weight[:, None]
    both = rows[:, first] * rest + rows[:, second] * weight
    large: Pixels = np.rint(both / (2 * scale) ** 2).astype(np.uint16)
    return large
