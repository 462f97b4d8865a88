"""The files of a prepared store: arrays of each part, under other names until the part is whole."""

import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DEFAULT_FOLDER = "lmc_store"
CHUNK = 512
"""Rows that are converted, recorded and checked together."""


@dataclass(frozen=True)
class RowArray:
    """An array with one row for each image of a part.

    Attributes:
        suffix: of the file's name, after the name of the part.
        shape: of a row.
        kind: of the numbers, as NumPy writes it: `<u2`.
    """

    suffix: str
    shape: tuple[int, ...]
    kind: str


@dataclass(frozen=True)
class Part:
    """One part of a store, such as a band of all patches or the pictures for training.

    Attributes:
        name: begins the names of its files.
        num_rows: images in it.
        arrays: the pixels first.
    """

    name: str
    num_rows: int
    arrays: tuple[RowArray, ...]

    def layout(self, root: Path) -> dict[Path, bytes]:
        """Return the header of each array file; `size_of` computes the file's size from it."""
        return {
            root / f"{self.name}{array.suffix}.npy": _header((self.num_rows, *array.shape), array.kind)
            for array in self.arrays
        }

    def is_whole(self, root: Path) -> bool:
        """Check whether the files are there in their full size."""
        sizes = {path: size_of(header) for path, header in self.layout(root).items()}
        return all(path.is_file() and path.stat().st_size == size for path, size in sizes.items())

    def finish(self, root: Path) -> None:
        """Give the files their final names."""
        for path in self.layout(root):
            partial_file(path).replace(path)


def pixels_file(root: Path, part: str) -> Path:
    """Name the file of a part's pixels."""
    return root / f"{part}.npy"


def progress_file(root: Path, part: str) -> Path:
    """Name the file that lists the finished chunks of an unfinished part."""
    return root / f"{part}.progress"


def partial_file(path: Path) -> Path:
    """Return the name that a file has until its part is whole."""
    return path.with_name(f"{path.name}.partial")


def size_of(header: bytes) -> int:
    """Compute the bytes of the .npy file that starts with this header."""
    stream = io.BytesIO(header)
    np.lib.format.read_magic(stream)
    shape, _, kind = np.lib.format.read_array_header_1_0(stream)
    return len(header) + int(np.prod(shape, dtype=np.int64)) * kind.itemsize


def digest_of_digests(digests: Sequence[str]) -> str:
    """Compute the sha256 of a list of digests."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there either whole or not at all."""
    with partial_file(path).open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial_file(path).replace(path)


def _header(shape: tuple[int, ...], kind: str) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    return stream.getvalue()
