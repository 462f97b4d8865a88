"""Converts one chunk of patches to pixels, sums and a checksum in a store."""

# It runs in worker processes, so nothing here imports torch, which would cost each of them seconds and memory.

import hashlib
import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np

from lmc_mlflow.data.readers.bigearthnet.readers import PatchReader
from lmc_mlflow.data.readers.bigearthnet.resampling import to_full_size
from lmc_mlflow.data.readers.bigearthnet.store_files import (
    CHUNK,
    PATCH_SHAPE,
    PIXEL_TYPE,
    SUM_TYPE,
    layout_of,
    partial_file,
    pixels_file,
    sums_file,
)


@dataclass(frozen=True)
class ChunkJob:
    """Which patches to convert, and to where."""

    reader: PatchReader
    store: Path
    num_patches: int
    """In the whole store."""
    chunk: int
    patches: tuple[str, ...]
    bands: tuple[str, ...]


@dataclass(frozen=True)
class ChunkResult:
    """What is recorded of one chunk of one band."""

    sha256: str
    minimum: int
    maximum: int


def convert_chunk(job: ChunkJob) -> dict[str, ChunkResult]:
    """Write a chunk's pixels and sums into the unfinished files of its bands; returns once the disk has them.

    Raises:
        ValueError: a patch that cannot be read.
        OSError: the store cannot be written.
    """
    return {band: _convert(job, band) for band in job.bands}


def _convert(job: ChunkJob, band: str) -> ChunkResult:
    pixels = np.empty((len(job.patches), *PATCH_SHAPE), dtype=PIXEL_TYPE)
    sums = np.empty((len(job.patches), 2), dtype=SUM_TYPE)
    for i, patch in enumerate(job.patches):
        pixels[i] = to_full_size(job.reader.read(patch, band))
        wide = pixels[i].astype(np.uint32)
        sums[i] = wide.sum(dtype=np.int64), np.square(wide).sum(dtype=np.int64)
    headers = layout_of(job.store, band, job.num_patches)
    for path, rows in ((pixels_file(job.store, band), pixels), (sums_file(job.store, band), sums)):
        # Written, not mapped: a full disk is then an error and not the end of the process.
        start = len(headers[path]) + job.chunk * CHUNK * rows[0].nbytes
        with partial_file(path).open("r+b") as file:
            file.seek(start)
            file.write(rows.data)
            file.flush()
            os.fsync(file.fileno())
    return ChunkResult(hashlib.sha256(pixels.data).hexdigest(), int(pixels.min()), int(pixels.max()))


def end_with_parent() -> None:
    """Make this worker process ignore Ctrl-C, which its parent handles, and end when its parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch(sentinel: int) -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()
