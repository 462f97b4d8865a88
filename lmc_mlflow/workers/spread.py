"""Spreads tasks over several processes, each of which holds what measures them on a device of its own."""

import logging
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch

from lmc_mlflow.config.runtime import RAY, RuntimeConfig
from lmc_mlflow.workers.pool import Call, Ended, ProcessPool
from lmc_mlflow.workers.ray_pool import RayPlaces, RayPool, Share
from lmc_mlflow.workers.shared_file import read_shared, write_shared

logger = logging.getLogger(__name__)
POLL_SECONDS = 0.5
Prepare = Callable[[RuntimeConfig], torch.device]
"""Prepares a process, and returns its device; a function of a module."""
M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)
T = TypeVar("T")
R = TypeVar("R")


class Movable(Protocol[M_co]):
    """What is needed to measure, on the CPU; it can be pickled."""

    def on(self, device: torch.device) -> M_co:
        """Bring it to a device, and return what measures there."""


class Workers(Protocol[M_co]):
    """Computes tasks by methods of something that measures, in one or in several processes."""

    @property
    def num_places(self) -> int:
        """Count the tasks that are computed at once."""

    def map(self, method: Callable[[M_co, T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        """Compute each task by a method of what measures; yields the index of each task, as it ends, and its result.

        Raises:
            ChildProcessError: a task has ended two processes; an exception of the method is raised as it is.
        """


def in_order(results: Iterable[tuple[int, R]]) -> list[R]:
    """Put results that come with their index in order."""
    return [result for _, result in sorted(results, key=lambda one: one[0])]


class Here(Generic[M]):
    """Computes tasks in this process, one after the other."""

    num_places = 1

    def __init__(self, measurer: M) -> None:
        self._measurer = measurer

    def map(self, method: Callable[[M, T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        """Compute tasks as `Workers.map` says, in their order."""
        for index, task in enumerate(tasks):
            yield index, method(self._measurer, task)


class Pool(Protocol):
    """Computes calls of one measurer's methods, at several places at once."""

    def free(self) -> Sequence[int]:
        """List the places without work."""

    def submit(self, place: int, call: Call) -> None:
        """Give a call to a free place."""

    def finished(self, seconds: float) -> list[Ended]:
        """Wait so long at most for calls to end, and return those that have ended."""


class Spread(Generic[M]):
    """Computes tasks in several processes, one at a time in each: a fast device is given more of them.

    Attributes:
        num_places: how many processes there are.
    """

    def __init__(self, pool: Pool, num_places: int, call_at: Callable[[int, Callable[..., Any], Any], Call]) -> None:
        """Compute in a pool.

        Args:
            pool: the processes.
            num_places: how many there are.
            call_at: place, method and task -> the call for the process there.
        """
        self.num_places = num_places
        self._pool = pool
        self._call_at = call_at

    def map(self, method: Callable[[M, T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        """Compute tasks as `Workers.map` says."""
        waiting, running = deque(range(len(tasks))), dict[int, int]()
        deaths: Counter[int] = Counter()
        while waiting or running:
            for place in self._pool.free()[: len(waiting)]:
                running[place] = waiting.popleft()
                self._pool.submit(place, self._call_at(place, method, tasks[running[place]]))
            for ended in self._pool.finished(POLL_SECONDS):
                index = running.pop(ended.key)
                if ended.death:
                    deaths[index] += 1
                    _say_or_raise(ended.death, deaths[index], f"{method.__name__} {index + 1} of {len(tasks)}")
                    waiting.appendleft(index)
                elif isinstance(ended.value, Exception):
                    raise ended.value
                else:
                    yield index, ended.value


def _say_or_raise(death: str, times: int, name: str) -> None:
    if times > 1:
        raise ChildProcessError(
            f"{name} has failed twice: {death}; where memory is short, give fewer devices or a lower memory_gb"
        )
    logger.warning("%s is computed again: %s", name, death)


_MEASURERS: dict[tuple[str, RuntimeConfig], Any] = {}
"""What this process measures with, if it is a worker: one entry."""


def _compute(name: str, source: Any, setting: tuple[Prepare, RuntimeConfig], method: Callable[[M, T], R], task: T) -> R:
    """Compute a task in a worker, which loads what measures once.

    Args:
        name: of what measures, unique.
        source: it: a path, or bytes.
        setting: prepares the process, and with what.
        method: of what measures.
        task: for the method.
    """
    prepare, runtime = setting
    if (name, runtime) not in _MEASURERS:
        _MEASURERS.clear()
        device = prepare(runtime)
        movable: Movable[Any] = read_shared(source)
        _MEASURERS[name, runtime] = movable.on(device)
    return method(_MEASURERS[name, runtime], task)


@contextmanager
def spread_over_processes(
    movable: Movable[M], prepare: Prepare, runtimes: Sequence[RuntimeConfig]
) -> Iterator[Workers[M]]:
    """Yield workers in processes of this machine, one for each of several settings; they end with the block."""
    with tempfile.TemporaryDirectory(prefix="lmc-") as folder:
        path = Path(folder) / "shared.pt"
        write_shared(movable, path)
        pool = ProcessPool([{}] * len(runtimes))

        def call_at(place: int, method: Callable[..., Any], task: Any) -> Call:
            return partial(_compute, str(path), path, (prepare, runtimes[place]), method, task)

        try:
            yield Spread(pool, len(runtimes), call_at)
        finally:
            pool.close()


@contextmanager
def spread_over_ray(
    movable: Movable[M], prepare: Prepare, runtime: RuntimeConfig, address: str
) -> Iterator[Workers[M]]:
    """Yield workers on a Ray cluster, each with one GPU where the cluster has GPUs, unless `runtime.device` is cpu.

    Args:
        movable: what measures.
        prepare: prepares the process of a task.
        runtime: of each task: it has `threads` cores.
        address: of the cluster's head; empty: one of this machine is started.

    Raises:
        ValueError: no Ray, no cluster there, or none with so many cores.
    """
    gpus = 0.0 if runtime.device == "cpu" else None
    pool = RayPool(address, Share((float(runtime.threads or 1), "threads"), (gpus, "gpus")), f"devices={RAY}")
    try:
        with tempfile.TemporaryDirectory(prefix="lmc-") as folder:
            path = Path(folder) / "shared.pt"
            write_shared(movable, path)
            source = pool.put(np.fromfile(path, dtype=np.uint8))
        places = RayPlaces(pool)

        def call_at(_place: int, method: Callable[..., Any], task: Any) -> Call:
            return partial(_compute, str(path), source, (prepare, runtime), method, task)

        yield Spread(places, places.num_places, call_at)
    finally:
        pool.close()
