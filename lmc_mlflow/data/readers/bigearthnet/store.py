"""Opens, reads and verifies a prepared store of patches."""

import hashlib
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.data.readers.bigearthnet.bands import BANDS
from lmc_mlflow.data.readers.bigearthnet.store_files import (
    PATCH_SHAPE,
    PATCHES,
    PIXEL_TYPE,
    StoreRecord,
    band_part,
    patches_digest,
    read_record,
    sums_file,
)
from lmc_mlflow.data.store.files import DEFAULT_FOLDER, pixels_file, progress_file
from lmc_mlflow.data.store.rows import altered_chunk


@dataclass(frozen=True, eq=False)
class PatchStore:
    """A prepared store, opened for reading; pixels stay on the disk until they are asked for."""

    root: Path
    record: StoreRecord
    names: NDArray[np.bytes_]
    """(N,), sorted."""
    labels: NDArray[np.uint8]
    """(N, 19), 1 where the class occurs."""
    official: NDArray[np.uint8]
    """(N,): 0 train, 1 validation, 2 test, 255 not in the official split."""
    command: str
    """What a user types to prepare a band, up to its name."""

    @property
    def bands(self) -> tuple[str, ...]:
        """List the bands that are prepared."""
        return tuple(sorted(self.record.bands))

    def pixels(self, band: str) -> "np.memmap[Any, np.dtype[np.uint16]]":
        """Map the raw pixels (N, 120, 120) of a band from the disk; `rows.gather` reads rows of it fast.

        Raises:
            ValueError: not prepared; names the command that does it.
        """
        self._require(band)
        pixels = np.load(pixels_file(self.root, band), mmap_mode="r")
        assert isinstance(pixels, np.memmap)
        assert pixels.shape == (len(self.names), *PATCH_SHAPE)
        assert pixels.dtype == PIXEL_TYPE
        return pixels

    def statistics(self, band: str, rows: NDArray[np.int64]) -> tuple[float, float]:
        """Compute mean and standard deviation over all pixels of these patches, in raw units, exact up to rounding.

        Raises:
            ValueError: not prepared, no rows, or sums that were altered.
        """
        self._require(band)
        if len(rows) == 0:
            raise ValueError(f"bigearthnet: statistics of {band} over no patches")
        sums = np.load(sums_file(self.root, band))
        if hashlib.sha256(sums.data).hexdigest() != self.record.bands[band].sums:
            raise ValueError(_altered(self, band, f"{sums_file(self.root, band).name} differs"))
        return exact_statistics(sums[rows])

    def digest(self, bands: Sequence[str]) -> str:
        """Compute the digest of the patches and of these bands' pixels, in 32 hex digits, whatever the folder.

        Raises:
            ValueError: a band that is not prepared.
        """
        for band in bands:
            self._require(band)
        parts = [self.record.patches, *(f"{band} {self.record.bands[band].sha256}" for band in bands)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    def _require(self, band: str) -> None:
        if band not in BANDS:
            raise ValueError(f"bigearthnet: no band {band!r}; choose from {', '.join(BANDS)}")
        if band not in self.record.bands:
            raise ValueError(f"bigearthnet: {self.root} has no band {band}; prepare it with: {self.command}{band}")


def exact_statistics(sums: NDArray[np.int64]) -> tuple[float, float]:
    """Compute mean and standard deviation (over N, not N - 1) from sums and sums of squares (N, 2) of whole patches.

    The squares of 480,038 patches can pass 64 bits, so their halves are added apart and joined in
    Python's unbounded integers.
    """
    count = len(sums) * PATCH_SHAPE[0] * PATCH_SHAPE[1]
    total = int(sums[:, 0].sum())
    squares = (int((sums[:, 1] >> 32).sum()) << 32) + int((sums[:, 1] & 0xFFFFFFFF).sum())
    return total / count, math.sqrt((count * squares - total * total) / (count * count))


def open_store(root: Path) -> PatchStore:
    """Open the store in a folder, or in lmc_store below it.

    Raises:
        ValueError: no store (says which command makes it), an unfinished one, or files that are not whole.
    """
    folder = next((path for path in (root, root / DEFAULT_FOLDER) if read_record(path) is not None), None)
    if folder is None:
        if any(path.is_file() for band in BANDS for path in _traces(root, band)):
            raise ValueError(
                f"bigearthnet: the store in {root} is unfinished; give the same prepare_data command again to go on"
            )
        raise ValueError(
            f"bigearthnet: no prepared store in {root}; make it with: {RUN} prepare_data "
            f"-P data_root={root} -P bands=B02,B08"
        )
    record = read_record(folder)
    assert record is not None
    where = f"-P data_root={root}" if folder != root else f"-P data_root=<folder of the archive> -P store={root}"
    command = f"{RUN} prepare_data {where} -P bands="
    for band in record.bands:
        if not band_part(band, record.num_patches).is_whole(folder):
            raise ValueError(
                f"bigearthnet: files of band {band} in {folder} are missing or of the wrong size; repair it with: "
                f"{command}{band}"
            )
    names, labels, official = read_patches(folder)
    if patches_digest(names, labels, official) != record.patches:
        raise ValueError(
            f"bigearthnet: {folder / PATCHES} was altered after it was made; remove it and repeat: "
            f"{command}{','.join(record.bands)}"
        )
    return PatchStore(folder, record, names, labels, official, command)


def read_patches(root: Path) -> tuple[NDArray[np.bytes_], NDArray[np.uint8], NDArray[np.uint8]]:
    """Read names, labels and official split of a store.

    Raises:
        ValueError: missing or damaged.
    """
    try:
        with np.load(root / PATCHES) as content:
            return content["names"], content["labels"], content["official"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise ValueError(
            f"bigearthnet: {root / PATCHES} is missing or damaged; remove it and give the prepare_data command again"
        ) from None


def verify(store: PatchStore, bands: Sequence[str]) -> None:
    """Read bands of a store again and compare every chunk with its checksum.

    Raises:
        ValueError: naming the band and chunk that differ, or a band that is not prepared.
    """
    with tqdm(total=len(bands) * len(store.names), desc="verifying", unit="patch", leave=False, disable=None) as bar:
        for band in bands:
            store.statistics(band, np.arange(len(store.names)))
            pixels = np.load(pixels_file(store.root, band), mmap_mode="r")
            altered = altered_chunk(pixels, store.record.bands[band].chunks, bar.update)
            if altered is not None:
                chunk, first, last = altered
                raise ValueError(_altered(store, band, f"chunk {chunk} (patches {first} to {last}) differs"))


def _altered(store: PatchStore, band: str, what: str) -> str:
    file = pixels_file(store.root, band)
    return f"bigearthnet: band {band}: {what} from its checksum; remove {file} and repeat: {store.command}{band}"


def _traces(root: Path, band: str) -> tuple[Path, Path]:
    return progress_file(root, band), progress_file(root / DEFAULT_FOLDER, band)
