"""Estimates the disk space and time of a conversion, by converting a few patches first."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lmc_mlflow.data.readers.bigearthnet.archives import Archive
from lmc_mlflow.data.readers.bigearthnet.conversion import ChunkJob
from lmc_mlflow.data.readers.bigearthnet.resampling import to_full_size
from lmc_mlflow.data.readers.bigearthnet.store_files import layout_of, partial_file, size_of

NUM_SAMPLED = 64
"""Patches that are read to measure."""


def bytes_missing(root: Path, bands: Sequence[str], num_patches: int) -> int:
    """Compute the disk space that these bands will still take; unfinished files have holes where nothing is written."""
    missing = 0
    for band in bands:
        for path, header in layout_of(root, band, num_patches).items():
            unfinished = partial_file(path)
            there = unfinished.stat().st_blocks * 512 if unfinished.is_file() else 0
            missing += max(0, size_of(header) - there)
    return missing


def estimate_line(archive: Archive, root: Path, bands: Sequence[str], jobs: Sequence[ChunkJob], processes: int) -> str:
    """Write one line for the user: how much, where to, how long.

    Raises:
        ValueError: a patch cannot be read.
    """
    num_patches = len(archive.patches)
    rows = np.unique(np.linspace(0, num_patches - 1, min(num_patches, NUM_SAMPLED)).astype(np.int64))
    archive.read(archive.patches[0], bands[0])  # what is set up once does not count
    start = time.perf_counter()
    for row in rows:
        for band in bands:
            to_full_size(archive.read(archive.patches[row], band))
    each = (time.perf_counter() - start) / (len(rows) * len(bands))
    todo = sum(len(job.patches) * len(job.bands) for job in jobs)
    size = sum(size_of(header) for band in bands for header in layout_of(root, band, num_patches).values())
    before = 1 - todo / (num_patches * len(bands))
    resumed = f" ({before:.0%} done before)" if before > 0 else ""
    workers = min(processes, len(jobs))
    return (
        f"{_counted(len(bands), 'band')} of {_counted(num_patches, 'patch', 'patches')}: {readable_bytes(size)} "
        f"into {root}{resumed}; about {readable_time(each * todo / workers)} with "
        f"{_counted(workers, 'process', 'processes')} (measured on {_counted(len(rows), 'patch', 'patches')})"
    )


def readable_bytes(count: int) -> str:
    """Write a number of bytes as MB or GB (powers of 1000)."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def readable_time(seconds: float) -> str:
    """Write a duration as seconds, minutes or hours."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def _counted(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
