"""Converts the chunks of a store that are not done, and locks the store meanwhile."""

import fcntl
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from lmc_mlflow.data.store.conversion import ChunkJob, ChunkResult, RowReader
from lmc_mlflow.data.store.estimate import bytes_missing, estimate_line, readable_bytes
from lmc_mlflow.data.store.files import CHUNK, Part
from lmc_mlflow.data.store.progress import record_chunk
from lmc_mlflow.data.store.workers import convert_all

Done = dict[str, dict[int, ChunkResult]]
"""Part -> its converted chunks."""


@dataclass(frozen=True)
class Conversion:
    """What is converted, and what it is called.

    Attributes:
        dataset: whose images they are, for errors.
        root: of the store.
        reader: of the images.
        processes: that convert at once.
        units: what an image is called, one and several.
    """

    dataset: str
    root: Path
    reader: RowReader
    processes: int
    units: tuple[str, str]


def jobs_of(conversion: Conversion, items: Sequence[str], parts: Sequence[Part], done: Done) -> list[ChunkJob]:
    """List the chunks of images that some part does not have yet.

    Args:
        conversion: whose chunks they are.
        items: the images; row i of each part is item i.
        parts: that have a row for each of these images.
        done: part -> chunks that are there.
    """
    jobs = []
    for chunk in range(-(-len(items) // CHUNK)):
        missing = tuple(part for part in parts if chunk not in done[part.name])
        if missing:
            rows = tuple(items[chunk * CHUNK : (chunk + 1) * CHUNK])
            jobs.append(ChunkJob(conversion.reader, conversion.root, chunk, rows, missing))
    return jobs


def check_room(root: Path, parts: Sequence[Part], dataset: str) -> None:
    """Check that what is missing of these parts fits the disk.

    Raises:
        ValueError: it does not.
    """
    needed, free = bytes_missing(root, parts), shutil.disk_usage(root).free
    if needed > free:
        raise ValueError(
            f"{dataset}: {root} needs {readable_bytes(needed)} more and its disk has {readable_bytes(free)} free; "
            "free some space or give another store=<folder>"
        )


def convert(
    conversion: Conversion,
    what: str,
    parts: Sequence[Part],
    jobs: Sequence[ChunkJob],
    done: Done,
    on_estimate: Callable[[str], None],
) -> None:
    """Convert chunks, and add each to `done` and to the progress of its parts.

    Args:
        conversion: whose chunks they are.
        what: begins the line of the estimate.
        parts: that are not finished.
        jobs: the chunks.
        done: part -> chunks that are there; changed in place.
        on_estimate: is given one line that says how much there is to do.

    Raises:
        ValueError: an image that cannot be read, or too little disk space.
    """
    if not jobs:
        return
    root, dataset = conversion.root, conversion.dataset
    check_room(root, parts, dataset)
    on_estimate(estimate_line(what, root, parts, jobs, conversion.processes, conversion.units))
    total = sum(len(job.items) for job in jobs)
    with (
        tqdm(total=total, desc="converting", unit=conversion.units[0], disable=None) as bar,
        closing(convert_all(jobs, conversion.processes, dataset)) as converted,
    ):
        for job, results in converted:
            for part, result in results.items():
                record_chunk(root, part, job.chunk, result)
                done[part][job.chunk] = result
            bar.update(len(job.items))


@contextmanager
def locked(root: Path, dataset: str) -> Iterator[None]:
    """Lock a store against other processes; the system releases the lock when this process ends."""
    with (root / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{dataset}: another process is preparing {root}; wait until it is done") from None
        yield
