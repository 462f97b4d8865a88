"""Converts chunks in several processes, none of which outlives the command."""

import multiprocessing
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from lmc_mlflow.data.store.conversion import (
    ChunkJob,
    ChunkResult,
    convert_chunk,
    end_with_parent,
)

Converted = tuple[ChunkJob, dict[str, ChunkResult]]


def convert_all(jobs: Sequence[ChunkJob], processes: int, dataset: str) -> Generator[Converted, None, None]:
    """Yield every job with its result as it is done; when the iterator is closed or stopped, no worker is left.

    Args:
        jobs: the chunks.
        processes: that convert at once.
        dataset: whose images they are, for errors.

    Raises:
        ValueError: an image cannot be read, or a worker was killed from outside.
    """
    if processes == 1 or len(jobs) == 1:
        for job in jobs:
            yield job, convert_chunk(job)
        return
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(min(processes, len(jobs)), mp_context=context, initializer=end_with_parent)
    try:
        futures = {pool.submit(convert_chunk, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        raise ValueError(
            f"{dataset}: one of {processes} converting processes was killed, perhaps for want of memory; "
            "give the same command again with fewer processes to go on"
        ) from None
    finally:
        for worker in set(multiprocessing.active_children()) - others:
            worker.kill()
        pool.shutdown(wait=True, cancel_futures=True)
