"""Computes tasks on the nodes of a Ray cluster."""

import os
from collections.abc import Mapping
from pathlib import Path

from lmc_mlflow.config.sweep import WorkConfig
from lmc_mlflow.sweeps.worker import Task, TaskResult, compute, result_of
from lmc_mlflow.workers.ray_pool import RayPool, Share

_PASSED_ON = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_PROFILE")


def check_uri(uri: str, address: str) -> None:
    """Refuse a store that other machines would look for in a folder of their own.

    Raises:
        ValueError: a relative SQLite file on a cluster.
    """
    if address and uri.startswith("sqlite:///") and not uri.startswith("sqlite:////"):
        raise ValueError(
            f"tracking store {uri} is a file beside this process, which other nodes do not see; start `mlflow server` "
            "and set MLFLOW_TRACKING_URI to its address, as docs/sweeps.md shows"
        )


def shared_uri(uri: str) -> str:
    """Write a tracking URI so that it means the same in every folder of this machine."""
    file = uri.removeprefix("sqlite:///")
    return uri if file in (uri, ":memory:") or file.startswith("/") else f"sqlite:///{Path(file).absolute()}"


class RayEngine:
    """Tasks on a Ray cluster, which starts those of a dead node again elsewhere.

    Attributes:
        cores_per_task: the cores that each task has.
    """

    def __init__(self, config: WorkConfig, environment: Mapping[str, str], device: str) -> None:
        """Connect to the cluster, or start one.

        Args:
            config: where the cluster is, and what of it each task has.
            environment: variables of the worker processes.
            device: on which the tasks are to compute.

        Raises:
            ValueError: no Ray, no cluster at the address, or one that cannot serve such tasks.
        """
        passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        cpus, gpus = (config.cpus_per_job, "cpus_per_job"), (config.gpus_per_job, "gpus_per_job")
        self._pool = RayPool(config.address, Share(cpus, gpus, {**passed, **environment}), "engine=ray")
        self._tasks: dict[str, Task] = {}
        self.cores_per_task = config.cpus_per_job
        if device != "cpu" and not config.gpus_per_job:
            self._refuse_idle_gpus()

    def _refuse_idle_gpus(self) -> None:
        """Refuse tasks that have no GPU of their own: all of a node would take its first, or leave all idle."""
        if num_gpus := self._pool.total("GPU"):
            self.close()
            raise ValueError(
                f"gpus_per_job=0: the cluster has {num_gpus:g} GPUs; give each task its share, as in gpus_per_job=1, "
                "or device=cpu"
            )

    @property
    def workers(self) -> int:
        """Count the tasks that the cluster has cores and GPUs for."""
        return self._pool.workers

    def has_room(self) -> bool:
        """Return True: Ray itself queues what has to wait."""
        return True

    def submit(self, task: Task) -> None:
        """Hand a task to Ray."""
        self._tasks[task.name] = task
        self._pool.submit(task.name, compute, task)

    def finished(self, seconds: float) -> list[TaskResult]:
        """Wait so long at most for tasks to end, and return the results of those that have ended."""
        return [result_of(self._tasks.pop(ended.key), ended) for ended in self._pool.finished(seconds)]

    def close(self) -> None:
        """Interrupt the tasks, wait until they have ended their runs, and leave the cluster."""
        self._pool.close()
