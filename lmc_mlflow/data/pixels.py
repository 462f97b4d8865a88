"""Sources of raw pixels: an array in memory, or a prepared store on disk."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.data.readers.bigearthnet.store import PatchStore
from lmc_mlflow.data.readers.bigearthnet.store_files import PATCH_SHAPE
from lmc_mlflow.data.store.rows import gather

Indices = NDArray[np.int64]
DIGESTED_AT_ONCE = 1000
REFLECTANCE = 10_000.0
"""Sentinel-2 stores reflectance times 10,000."""


class Source(Protocol):
    """N raw images (C, H, W) that are read row by row."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return N, C, H, W."""

    @property
    def full_scale(self) -> float:
        """Return the value that counts as 1 in `normalization=unit`: 255 for bytes, 10,000 for reflectance."""

    def take(self, rows: Indices) -> NDArray[Any]:
        """Read the raw images (n, C, H, W) of these rows."""

    def rows(self, chosen: Indices) -> "Source":
        """Return the source that holds these rows alone, in this order."""

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Compute the mean and the standard deviation of each channel, where `full_scale` counts as 1."""

    def digest(self, labels: NDArray[Any]) -> str:
        """Compute the digest of pixels and labels, in 32 hex digits."""


@dataclass(frozen=True)
class ArraySource:
    """Images in memory: bytes, or float32 as they are; equal channels may share one channel's memory."""

    array: NDArray[Any]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return N, C, H, W."""
        n, c, h, w = self.array.shape
        return n, c, h, w

    @property
    def full_scale(self) -> float:
        """Return 255 for bytes, 1 for other numbers."""
        return 255.0 if self.array.dtype == np.uint8 else 1.0

    def take(self, rows: Indices) -> NDArray[Any]:
        """Copy the images of these rows."""
        return np.repeat(self._one_channel[rows], self.array.shape[1], axis=1) if self._shared else self.array[rows]

    def rows(self, chosen: Indices) -> "ArraySource":
        """Copy these rows into a source of their own."""
        if self._shared:
            return ArraySource(np.broadcast_to(self._one_channel[chosen], (len(chosen), *self.array.shape[1:])))
        return ArraySource(self.array[chosen])

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Compute mean and deviation as `Source` says; exact for bytes, from their histogram."""
        if self._shared:
            means, deviations = ArraySource(self._one_channel).statistics()
            return means * self.array.shape[1], deviations * self.array.shape[1]
        if self.array.dtype != np.uint8:
            axes = (0, 2, 3)
            exact = self.array.astype(np.float64)
            return tuple(exact.mean(axis=axes).tolist()), tuple(exact.std(axis=axes).tolist())
        found = [_statistics_of_bytes(self.array[:, c]) for c in range(self.array.shape[1])]
        return tuple(mean for mean, _ in found), tuple(deviation for _, deviation in found)

    def digest(self, labels: NDArray[Any]) -> str:
        """Compute the digest of shapes, pixels and labels (MLflow's own digest reads a few images only)."""
        starts = range(0, len(self.array), DIGESTED_AT_ONCE)
        return digest_of_images(
            self.array.shape, (self.array[start : start + DIGESTED_AT_ONCE] for start in starts), labels
        )

    @property
    def _shared(self) -> bool:
        return self.array.shape[1] > 1 and self.array.strides[1] == 0

    @property
    def _one_channel(self) -> NDArray[Any]:
        return self.array[:, :1]


def digest_of_images(shape: tuple[int, ...], blocks: Iterable[NDArray[Any]], labels: NDArray[Any]) -> str:
    """Compute the digest of images (N, C, H, W), which come in blocks, and of their labels, in 32 hex digits."""
    digest = hashlib.sha256(f"{shape} {labels.shape}".encode())
    for block in blocks:
        digest.update(np.ascontiguousarray(block).data)  # channels that share memory are copied
    digest.update(np.ascontiguousarray(labels).data)
    return digest.hexdigest()[:32]


def _statistics_of_bytes(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    return statistics_of_counts(np.bincount(pixels.reshape(-1), minlength=256))


def statistics_of_counts(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Compute mean and deviation of bytes, where 255 counts as 1, from how often each of 256 values occurs."""
    values = np.arange(256) / 255
    mean = float(counts @ values / counts.sum())
    return mean, float(np.sqrt(counts @ (values - mean) ** 2 / counts.sum()))


@dataclass(frozen=True)
class BandSource:
    """Patches of a prepared store in some of its bands; it has no band until a shift chooses them."""

    store: PatchStore
    chosen: Indices
    bands: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return N, C, 120, 120."""
        return len(self.chosen), len(self.bands), *PATCH_SHAPE

    @property
    def full_scale(self) -> float:
        """Return 10,000, which stands for a reflectance of 1."""
        return REFLECTANCE

    def in_bands(self, bands: Sequence[str]) -> "BandSource":
        """Return the same patches in these bands."""
        return BandSource(self.store, self.chosen, tuple(bands))

    def take(self, rows: Indices) -> NDArray[Any]:
        """Read patches: 16 unsigned bits in int16, because PyTorch converts its uint16 on few devices only."""
        where = self.chosen[rows]
        raw = np.empty((len(where), *self.shape[1:]), dtype=np.int16)
        for channel, pixels in enumerate(self._mapped):
            raw[:, channel] = gather(pixels, where, "bigearthnet").view(np.int16)
        return raw

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the mapped pixels, which would travel to another process as a copy of the whole store."""
        return {name: value for name, value in vars(self).items() if name != "_mapped"}

    @cached_property
    def _mapped(self) -> "list[np.memmap[Any, np.dtype[np.uint16]]]":
        return [self.store.pixels(band) for band in self.bands]

    def rows(self, chosen: Indices) -> "BandSource":
        """Return the source of these rows; nothing is read."""
        return BandSource(self.store, self.chosen[chosen], self.bands)

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Compute mean and deviation as `Source` says; exact, from the sums that the store keeps of every patch."""
        found = [self.store.statistics(band, self.chosen) for band in self.bands]
        return tuple(mean / REFLECTANCE for mean, _ in found), tuple(dev / REFLECTANCE for _, dev in found)

    def digest(self, labels: NDArray[Any]) -> str:
        """Compute the digest of the bands' checksums, the chosen patches and their labels; no pixel is read."""
        digest = hashlib.sha256(f"{self.store.digest(self.bands)} {self.bands}".encode())
        digest.update(np.ascontiguousarray(self.chosen).data)
        digest.update(np.ascontiguousarray(labels).data)
        return digest.hexdigest()[:32]
