"""Converts one chunk of images to the rows of a store, and a checksum."""

# It runs in worker processes, so nothing here imports torch, which would cost each of them seconds and memory.

import hashlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.data.store.files import CHUNK, Part, partial_file

Rows = tuple[NDArray[Any], ...]


class RowReader(Protocol):
    """Reads images for a store; small, so that it travels to other processes."""

    def read(self, item: str, part: str) -> Rows:
        """Read the row of an image in each array of a part.

        Raises:
            ValueError: missing or damaged, or not what it should be.
        """
        ...


@dataclass(frozen=True)
class ChunkJob:
    """Which images to convert, and to where."""

    reader: RowReader
    store: Path
    chunk: int
    items: tuple[str, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class ChunkResult:
    """What is recorded of one chunk of one part.

    Attributes:
        sha256: of the pixels.
        minimum: of the pixels.
        maximum: of the pixels.
        counts: of pixels of one byte: how often each of 256 values occurs, for each channel.
    """

    sha256: str
    minimum: int
    maximum: int
    counts: Sequence[Sequence[int]] = ()


def convert_chunk(job: ChunkJob) -> dict[str, ChunkResult]:
    """Write the rows of a chunk into the unfinished files of its parts; returns once the disk has them.

    Raises:
        ValueError: an image that cannot be read.
        OSError: the store cannot be written.
    """
    return {part.name: convert_part(job, part) for part in job.parts}


def convert_part(job: ChunkJob, part: Part) -> ChunkResult:
    """Write the rows of a chunk into the unfinished files of one part, as `convert_chunk` does."""
    arrays = [np.empty((len(job.items), *array.shape), dtype=array.kind) for array in part.arrays]
    for i, item in enumerate(job.items):
        for array, row in zip(arrays, job.reader.read(item, part.name), strict=True):
            array[i] = row
    for (path, header), rows in zip(part.layout(job.store).items(), arrays, strict=True):
        # Written, not mapped: a full disk is then an error and not the end of the process.
        start = len(header) + job.chunk * CHUNK * rows[0].nbytes
        with partial_file(path).open("r+b") as file:
            file.seek(start)
            file.write(rows.data)
            file.flush()
            os.fsync(file.fileno())
    pixels = arrays[0]
    counts = _counts(pixels) if pixels.dtype == np.uint8 else ()
    return ChunkResult(hashlib.sha256(pixels.data).hexdigest(), int(pixels.min()), int(pixels.max()), counts)


def _counts(pixels: NDArray[np.uint8]) -> list[list[int]]:
    """Count the values of pixels (n, C, H, W) in each channel."""
    return [np.bincount(pixels[:, c].reshape(-1), minlength=256).tolist() for c in range(pixels.shape[1])]


def end_with_parent() -> None:
    """Make this worker process ignore Ctrl-C, which its parent handles, and end when its parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch(sentinel: int) -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()
