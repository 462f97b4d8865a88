"""Where do raw pixels lie, and how are they scaled? In an array in memory, or in a prepared store on disk."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lmc_mlflow.data.readers.bigearthnet.store import PatchStore, gather
from lmc_mlflow.data.readers.bigearthnet.store_files import PATCH_SHAPE

Indices = NDArray[np.int64]
REFLECTANCE = 10_000.0
"""Sentinel-2 stores reflectance times 10,000."""


class Source(Protocol):
    """N raw images (C, H, W) that are read row by row."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """N, C, H, W."""

    @property
    def full_scale(self) -> float:
        """What counts as 1 in `normalization=unit`: 255 for bytes, 10,000 for Sentinel-2 reflectance."""

    def take(self, rows: Tensor) -> Tensor:
        """Raw images (n, C, H, W) of these rows, on the CPU."""

    def rows(self, chosen: Indices) -> "Source":
        """The source that holds these rows alone, in this order."""

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel, where `full_scale` counts as 1."""

    def digest(self, labels: NDArray[Any]) -> str:
        """Digest of pixels and labels, in 32 hex digits."""


@dataclass(frozen=True)
class ArraySource:
    """Images in memory: bytes, or float32 as they are."""

    array: NDArray[Any]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """N, C, H, W."""
        n, c, h, w = self.array.shape
        return n, c, h, w

    @property
    def full_scale(self) -> float:
        """255 for bytes."""
        return 255.0 if self.array.dtype == np.uint8 else 1.0

    def take(self, rows: Tensor) -> Tensor:
        """See `Source`."""
        return torch.from_numpy(self.array[rows.numpy()])

    def rows(self, chosen: Indices) -> "ArraySource":
        """See `Source`; copies."""
        return ArraySource(self.array[chosen])

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """See `Source`; exact for bytes, from their histogram."""
        if self.array.dtype != np.uint8:
            axes = (0, 2, 3)
            exact = self.array.astype(np.float64)
            return tuple(exact.mean(axis=axes).tolist()), tuple(exact.std(axis=axes).tolist())
        means, deviations = [], []
        values = np.arange(256) / 255
        for c in range(self.array.shape[1]):
            counts = np.bincount(self.array[:, c].reshape(-1), minlength=256)
            mean = float(counts @ values / counts.sum())
            means.append(mean)
            deviations.append(float(np.sqrt(counts @ (values - mean) ** 2 / counts.sum())))
        return tuple(means), tuple(deviations)

    def digest(self, labels: NDArray[Any]) -> str:
        """Of shapes, pixels and labels (MLflow's own digest reads a few images only)."""
        digest = hashlib.sha256(f"{self.array.shape} {labels.shape}".encode())
        digest.update(np.ascontiguousarray(self.array).data)
        digest.update(np.ascontiguousarray(labels).data)
        return digest.hexdigest()[:32]


@dataclass(frozen=True)
class BandSource:
    """Patches of a prepared store in some of its bands; no band at first: a shift says which."""

    store: PatchStore
    chosen: Indices
    bands: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """N, C, 120, 120."""
        return len(self.chosen), len(self.bands), *PATCH_SHAPE

    @property
    def full_scale(self) -> float:
        """10,000: a reflectance of 1."""
        return REFLECTANCE

    def in_bands(self, bands: Sequence[str]) -> "BandSource":
        """The same patches in other bands."""
        return BandSource(self.store, self.chosen, tuple(bands))

    def take(self, rows: Tensor) -> Tensor:
        """See `Source`: 16 unsigned bits in int16, as PyTorch converts its uint16 on few devices."""
        where = self.chosen[rows.numpy()]
        raw = np.empty((len(where), *self.shape[1:]), dtype=np.int16)
        for channel, pixels in enumerate(self._mapped):
            raw[:, channel] = gather(pixels, where).view(np.int16)
        return torch.from_numpy(raw)

    @cached_property
    def _mapped(self) -> "list[np.memmap[Any, np.dtype[np.uint16]]]":
        return [self.store.pixels(band) for band in self.bands]

    def rows(self, chosen: Indices) -> "BandSource":
        """See `Source`; nothing is read."""
        return BandSource(self.store, self.chosen[chosen], self.bands)

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """See `Source`; exact, from the sums that the store keeps of every patch."""
        found = [self.store.statistics(band, self.chosen) for band in self.bands]
        return tuple(mean / REFLECTANCE for mean, _ in found), tuple(dev / REFLECTANCE for _, dev in found)

    def digest(self, labels: NDArray[Any]) -> str:
        """Of the bands' checksums, the patches chosen and their labels; no pixel is read."""
        digest = hashlib.sha256(f"{self.store.digest(self.bands)} {self.bands}".encode())
        digest.update(np.ascontiguousarray(self.chosen).data)
        digest.update(np.ascontiguousarray(labels).data)
        return digest.hexdigest()[:32]


@dataclass(frozen=True)
class Scaling:
    """Per-channel (x / full_scale - mean) / deviation."""

    full_scale: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @staticmethod
    def of(normalization: str, source: Source) -> "Scaling":
        """The constants of `centered` (from all of the source), `half` or `unit`."""
        channels = source.shape[1]
        if normalization == "unit":
            return Scaling(source.full_scale, (0.0,) * channels, (1.0,) * channels)
        if normalization == "half":
            return Scaling(source.full_scale, (0.5,) * channels, (0.5,) * channels)
        means, deviations = source.statistics()
        return Scaling(source.full_scale, means, tuple(d if d > 0 else 1.0 for d in deviations))  # constant: 0

    def apply(self, raw: Tensor) -> Tensor:
        """Raw images (N, C, H, W) -> float32, in the operations of torchvision's ToTensor and Normalize."""
        if raw.dtype == torch.int16:  # unsigned in truth
            raw = raw.to(torch.int32).bitwise_and_(0xFFFF)
        out = raw.to(torch.float32, copy=True)
        if self.full_scale != 1:
            out.div_(self.full_scale)
        if set(self.mean) == {0.0} and set(self.deviation) == {1.0}:
            return out
        mean = torch.tensor(self.mean, device=out.device)[:, None, None]
        deviation = torch.tensor(self.deviation, device=out.device)[:, None, None]
        return out.sub_(mean).div_(deviation)
