"""Computes tasks in processes of this machine; a process that dies fails its own task alone."""

from collections.abc import Mapping, Sequence
from functools import partial

from lmc_mlflow.parallel import num_cores
from lmc_mlflow.sweeps.worker import Task, TaskResult, compute_and_release, result_of
from lmc_mlflow.workers.pool import ProcessPool

PATIENCE_SECONDS = 60.0
"""How long workers that were asked to stop may take to end their runs."""


class LocalEngine:
    """Worker processes, started when there is work for them; each has one GPU, a new one that of the one before it.

    Attributes:
        workers: how many tasks may be computed at once.
    """

    def __init__(self, workers: int, environment: Mapping[str, str], gpus: Sequence[str] = ()) -> None:
        """Prepare to start workers.

        Args:
            workers: how many processes there may be.
            environment: variables of the worker processes, beside those of this process.
            gpus: names for CUDA_VISIBLE_DEVICES; none: workers see what this process sees.
        """
        self.workers = workers
        of_gpus = [{"CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)]} if gpus else {} for place in range(workers)]
        self._pool = ProcessPool([{**environment, **of_gpu} for of_gpu in of_gpus], PATIENCE_SECONDS)
        self._tasks: dict[int, Task] = {}

    @property
    def cores_per_task(self) -> float:
        """Return the share of the cores that each task has."""
        return num_cores() // self.workers

    def has_room(self) -> bool:
        """Return whether a task could begin at once."""
        return bool(self._pool.free())

    def submit(self, task: Task) -> None:
        """Give a task to an idle worker, or to a new one."""
        place = self._pool.free()[0]
        self._pool.submit(place, partial(compute_and_release, task))
        self._tasks[place] = task

    def finished(self, seconds: float) -> list[TaskResult]:
        """Wait so long at most for tasks to end, and return the results of those that have ended."""
        return [result_of(self._tasks[ended.key], ended) for ended in self._pool.finished(seconds)]

    def close(self) -> None:
        """Ask the workers to stop, wait until they have ended their runs, and kill those that do not stop."""
        self._pool.close()
