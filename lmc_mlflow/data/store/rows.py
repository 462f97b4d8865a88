"""Reads rows of a store's arrays, and compares their chunks with their checksums."""

import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.data.store.files import CHUNK


def gather(pixels: "np.memmap[Any, Any]", rows: NDArray[np.int64], dataset: str) -> NDArray[Any]:
    """Copy rows (n, ...) of an array into memory; the system is told of all of them beforehand.

    Otherwise each row waits for the one before it where the disk's cache is empty. Rows are read and not mapped: pages
    of a mapping, up to 2 MiB around every row, would count as this process's memory.

    Args:
        pixels: the array, mapped.
        rows: which of them.
        dataset: whose rows they are, for errors.

    Raises:
        ValueError: the file has become shorter.
    """
    found = np.empty((len(rows), *pixels.shape[1:]), dtype=pixels.dtype)
    each = found[0].nbytes if len(rows) else 0
    starts = (pixels.offset + rows * each).tolist()
    assert pixels.filename is not None
    descriptor = os.open(pixels.filename, os.O_RDONLY)
    try:
        if hasattr(os, "posix_fadvise"):
            for start in starts:
                os.posix_fadvise(descriptor, start, each, os.POSIX_FADV_WILLNEED)
        for row, start in zip(found, starts, strict=True):
            if os.preadv(descriptor, [row], start) != each:
                raise ValueError(f"{dataset}: {pixels.filename} was cut short while it was read; prepare it anew")
    finally:
        os.close(descriptor)
    return found


def altered_chunk(
    pixels: NDArray[Any], digests: Sequence[str], on_rows: Callable[[int], object]
) -> tuple[int, int, int] | None:
    """Compare every chunk with its checksum; returns number, first and last row of one that differs, or None.

    Args:
        pixels: the array, mapped.
        digests: sha256 of each chunk.
        on_rows: is given the number of rows that were compared.
    """
    for chunk, expected in enumerate(digests):
        part = pixels[chunk * CHUNK : (chunk + 1) * CHUNK]
        if hashlib.sha256(part.data).hexdigest() != expected:
            return chunk, chunk * CHUNK, chunk * CHUNK + len(part) - 1
        on_rows(len(part))
    return None
