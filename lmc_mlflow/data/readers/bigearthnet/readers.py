"""Reads the pixels of one band of one patch from an archive."""

import functools
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import lmdb
import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from lmc_mlflow.data.readers.bigearthnet.bands import BANDS
from lmc_mlflow.data.readers.bigearthnet.resampling import Pixels

WAY_OUT = "restore it from the archive, or remove the patch, and give the same command again to go on"


class PatchReader(Protocol):
    """Reads from one archive; small, so that it travels to other processes."""

    def read(self, patch: str, band: str) -> Pixels:
        """Read the pixels (n, n) in the band's native size.

        Raises:
            ValueError: missing or damaged, or not what a band looks like.
        """
        ...


@dataclass(frozen=True)
class GeoTiffReader:
    """Reads `<folder>/[<product>/]<patch>/<patch>_<band>.tif`."""

    folder: Path
    by_product: bool
    """Version 2.0 groups patches by product, which is the patch's name without row and column."""

    def read(self, patch: str, band: str) -> Pixels:
        """Read the pixels (n, n) in the band's native size; a ValueError names the file."""
        product = patch.rsplit("_", 2)[0] if self.by_product else ""
        path = self.folder / product / patch / f"{patch}_{band}.tif"
        try:
            # Without the setting, GDAL lists the folder at every open to look for companion files.
            with warnings.catch_warnings(), rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                with rasterio.open(path, driver="GTiff") as file:
                    pixels: Pixels = file.read(1)
        except (RasterioError, OSError) as error:
            reason = "no such file" if not path.exists() else f"damaged or cut short: {_cause_in_one_line(error)}"
            raise ValueError(f"bigearthnet: {path} cannot be read ({reason}); {WAY_OUT}") from None
        return _checked(pixels, band, str(path))


@dataclass(frozen=True)
class LmdbReader:
    """Reads the safetensors values of an LMDB database as rico-hdl writes it (Clasen et al., reBEN, 2024)."""

    folder: Path

    def read(self, patch: str, band: str) -> Pixels:
        """Read the pixels (n, n) in the band's native size; a ValueError names the patch and the database."""
        where = f"patch {patch} in {self.folder}"
        try:
            with _database(self.folder).begin(buffers=True) as transaction:
                value = transaction.get(patch.encode())
                if value is None:
                    raise ValueError("no such key")
                pixels = _tensor(value, band)
        except (lmdb.Error, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"bigearthnet: {where} cannot be read ({_cause_in_one_line(error)}); {WAY_OUT}") from None
        return _checked(pixels, band, f"{where}, {band},")


def _tensor(value: memoryview, name: str) -> Pixels:
    """Read one tensor of a safetensors value (length of the header, header, data) and no other tensor's pages."""
    start = 8 + int.from_bytes(value[:8], "little")
    if start > len(value):
        raise ValueError("cut short")
    header: dict[str, Any] = json.loads(bytes(value[8:start]))
    if name not in header:
        raise ValueError(f"no tensor {name}")
    entry = header[name]
    if entry["dtype"] != "U16":
        raise ValueError(f"{name} is {entry['dtype']}, not U16")
    begin, end = entry["data_offsets"]
    return np.frombuffer(bytes(value[start + begin : start + end]), dtype="<u2").reshape(entry["shape"])


@functools.lru_cache(maxsize=8)
def _database(folder: Path) -> Any:
    """Open a database; one process may do so only once."""
    return lmdb.open(str(folder), readonly=True, lock=False, readahead=False, create=False)


def _checked(pixels: Pixels, band: str, where: str) -> Pixels:
    size = BANDS[band].size
    if pixels.dtype != np.uint16 or pixels.shape != (size, size):
        raise ValueError(
            f"bigearthnet: {where} is {pixels.dtype} {pixels.shape}, but {band} is uint16 {(size, size)}; {WAY_OUT}"
        )
    return pixels


def _cause_in_one_line(error: BaseException) -> str:
    cause = error.__cause__ or error  # rasterio says "see previous exception"
    return " ".join(str(cause).split()) or type(cause).__name__
