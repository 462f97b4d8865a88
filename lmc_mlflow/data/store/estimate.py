"""Estimates the disk space and time of a conversion, by reading a few images first."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lmc_mlflow.data.store.conversion import ChunkJob
from lmc_mlflow.data.store.files import Part, partial_file, size_of

NUM_SAMPLED = 64
"""Images that are read to measure."""


def bytes_missing(root: Path, parts: Sequence[Part]) -> int:
    """Compute the disk space that these parts will still take; unfinished files have holes where nothing is written."""
    missing = 0
    for part in parts:
        for path, header in part.layout(root).items():
            begun = next((file for file in (partial_file(path), path) if file.is_file()), None)
            there = 0 if begun is None else begun.stat().st_blocks * 512
            missing += max(0, size_of(header) - there)
    return missing


def estimate_line(
    what: str, root: Path, parts: Sequence[Part], jobs: Sequence[ChunkJob], processes: int, units: tuple[str, str]
) -> str:
    """Write one line for the user: how much, where to, how long.

    Args:
        what: begins the line.
        root: of the store.
        parts: that are not finished.
        jobs: the chunks to convert.
        processes: that convert at once.
        units: what an image is called, one and several.

    Raises:
        ValueError: an image cannot be read.
    """
    todo = sum(len(job.items) * len(job.parts) for job in jobs)
    each, num_sampled = _seconds_each(jobs)
    size = sum(size_of(header) for part in parts for header in part.layout(root).values())
    before = 1 - todo / sum(part.num_rows for part in parts)
    resumed = f" ({before:.0%} done before)" if before > 0 else ""
    workers = min(processes, len(jobs))
    return (
        f"{what}: {readable_bytes(size)} into {root}{resumed}; about {readable_time(each * todo / workers)} with "
        f"{counted(workers, 'process', 'processes')} (measured on {counted(num_sampled, *units)})"
    )


def _seconds_each(jobs: Sequence[ChunkJob]) -> tuple[float, int]:
    """Read some of the images that are to be converted; returns the seconds for a row, and how many images."""
    items = [(job, item) for job in jobs for item in job.items]
    chosen = np.unique(np.linspace(0, len(items) - 1, min(len(items), NUM_SAMPLED)).astype(np.int64))
    first, item = items[0]
    first.reader.read(item, first.parts[0].name)  # what is set up once does not count
    start, rows = time.perf_counter(), 0
    for i in chosen:
        job, item = items[i]
        for part in job.parts:
            job.reader.read(item, part.name)
            rows += 1
    return (time.perf_counter() - start) / rows, len(chosen)


def readable_bytes(count: int) -> str:
    """Write a number of bytes as MB or GB (powers of 1000)."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def readable_time(seconds: float) -> str:
    """Write a duration as seconds, minutes or hours."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def counted(count: int, one: str, many: str | None = None) -> str:
    """Write a number with what it counts."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
