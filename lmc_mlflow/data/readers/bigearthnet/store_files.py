"""The files of a prepared store, and store.json, which describes them."""

import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.data.readers.bigearthnet.bands import FULL_SIZE

FORMAT = 1
RECORD = "store.json"
PATCHES = "patches.npz"
DEFAULT_FOLDER = "lmc_store"
CHUNK = 512
"""Patches that are converted, recorded and checked together."""
PATCH_SHAPE = (FULL_SIZE, FULL_SIZE)
PIXEL_TYPE = np.dtype("<u2")
SUM_TYPE = np.dtype("<i8")


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


def pixels_file(root: Path, band: str) -> Path:
    """Name the file of a band's pixels (N, 120, 120)."""
    return root / f"{band}.npy"


def sums_file(root: Path, band: str) -> Path:
    """Name the file of sums (N, 2): of each patch the sum of its pixels and the sum of their squares."""
    return root / f"{band}.sums.npy"


def progress_file(root: Path, band: str) -> Path:
    """Name the file that lists the finished chunks of an unfinished band."""
    return root / f"{band}.progress"


def partial_file(path: Path) -> Path:
    """Return the name that a file has until its band is whole."""
    return path.with_name(f"{path.name}.partial")


def layout_of(root: Path, band: str, num_patches: int) -> dict[Path, bytes]:
    """Return the header of each array file of a band; `size_of` computes the file's size from it."""
    return {
        pixels_file(root, band): _header((num_patches, *PATCH_SHAPE), PIXEL_TYPE),
        sums_file(root, band): _header((num_patches, 2), SUM_TYPE),
    }


def size_of(header: bytes) -> int:
    """Compute the bytes of the .npy file that starts with this header."""
    stream = io.BytesIO(header)
    np.lib.format.read_magic(stream)
    shape, _, kind = np.lib.format.read_array_header_1_0(stream)
    return len(header) + int(np.prod(shape, dtype=np.int64)) * kind.itemsize


def is_whole(root: Path, band: str, num_patches: int) -> bool:
    """Check whether a band's files are there in their full size."""
    sizes = {path: size_of(header) for path, header in layout_of(root, band, num_patches).items()}
    return all(path.is_file() and path.stat().st_size == size for path, size in sizes.items())


def patches_digest(names: NDArray[np.bytes_], labels: NDArray[np.uint8], official: NDArray[np.uint8]) -> str:
    """Compute the sha256 of what patches.npz holds, whatever version of NumPy wrote it."""
    digest = hashlib.sha256(b"\n".join(names.tolist()))
    digest.update(np.ascontiguousarray(labels).data)
    digest.update(np.ascontiguousarray(official).data)
    return digest.hexdigest()


def digest_of_digests(digests: Sequence[str]) -> str:
    """Compute the sha256 of a list of digests."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


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


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there either whole or not at all."""
    with partial_file(path).open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial_file(path).replace(path)


def _header(shape: tuple[int, ...], kind: "np.dtype[np.generic]") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": kind.str, "fortran_order": False, "shape": shape})
    return stream.getvalue()
