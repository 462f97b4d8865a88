"""The files of a prepared store, and store.json, which describes them."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.data.readers.bigearthnet.bands import FULL_SIZE
from lmc_mlflow.data.store.files import Part, RowArray, write_whole

FORMAT = 1
RECORD = "store.json"
PATCHES = "patches.npz"
PATCH_SHAPE = (FULL_SIZE, FULL_SIZE)
PIXEL_TYPE = np.dtype("<u2")
PIXELS = RowArray("", PATCH_SHAPE, "<u2")
SUMS = RowArray(".sums", (2,), "<i8")


@dataclass(frozen=True)
class BandRecord:
    """What store.json says of one band; the statistics are over all patches, in raw units."""

    sha256: str
    """Digest of the chunks' digests."""
    chunks: tuple[str, ...]
    sums: str
    """sha256 of the sums."""
    mean: float
    deviation: float
    minimum: int
    maximum: int


@dataclass(frozen=True)
class StoreRecord:
    """All of store.json."""

    version: str
    num_patches: int
    patches: str
    """sha256 of names, labels and official split."""
    dropped: dict[str, int]
    bands: dict[str, BandRecord]


def sums_file(root: Path, band: str) -> Path:
    """Name the file of sums (N, 2): of each patch the sum of its pixels and the sum of their squares."""
    return root / f"{band}{SUMS.suffix}.npy"


def band_part(band: str, num_patches: int) -> Part:
    """Describe the part of a store that holds a band."""
    return Part(band, num_patches, (PIXELS, SUMS))


def patches_digest(names: NDArray[np.bytes_], labels: NDArray[np.uint8], official: NDArray[np.uint8]) -> str:
    """Compute the sha256 of what patches.npz holds, whatever version of NumPy wrote it."""
    digest = hashlib.sha256(b"\n".join(names.tolist()))
    digest.update(np.ascontiguousarray(labels).data)
    digest.update(np.ascontiguousarray(official).data)
    return digest.hexdigest()


def read_record(root: Path) -> StoreRecord | None:
    """Read store.json; None where there is none.

    Raises:
        ValueError: damaged, or of another format.
    """
    path = root / RECORD
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text())
        if content.pop("format") != FORMAT:
            raise ValueError(f"bigearthnet: {path} is of another format than {FORMAT}; remove {root} and prepare anew")
        bands = {band: BandRecord(**{**row, "chunks": tuple(row["chunks"])}) for band, row in content["bands"].items()}
        return StoreRecord(**{**content, "bands": bands})
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        raise ValueError(f"bigearthnet: {path} is damaged; remove it and prepare the store anew") from None


def write_record(root: Path, record: StoreRecord) -> None:
    """Replace store.json in one step."""
    write_whole(root / RECORD, json.dumps({"format": FORMAT, **asdict(record)}, indent=1).encode())
