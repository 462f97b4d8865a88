"""The table of sweep engines, and the settings that their workers are given."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from lmc_mlflow.config.choices import lookup
from lmc_mlflow.config.commands import SweepConfig
from lmc_mlflow.config.runtime import RuntimeConfig
from lmc_mlflow.contract import LAUNCHER_RUN
from lmc_mlflow.gpus import count_gpus, usable_gpus
from lmc_mlflow.parallel import num_cores
from lmc_mlflow.sweeps.engines.local import LocalEngine
from lmc_mlflow.sweeps.engines.ray import RayEngine, check_uri, shared_uri
from lmc_mlflow.sweeps.worker import Task, TaskResult
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.workflows.lifecycle.machine import AUTO, named_device


class Engine(Protocol):
    """Computes tasks, several at once."""

    @property
    def workers(self) -> int:
        """Return how many tasks may be computed at once."""

    @property
    def cores_per_task(self) -> float:
        """Return the share of the cores that each task has."""

    def has_room(self) -> bool:
        """Return whether it takes another task."""

    def submit(self, task: Task) -> None:
        """Take a task."""

    def finished(self, seconds: float) -> list[TaskResult]:
        """Wait so long at most for tasks to end, and return the results of those that have ended."""

    def close(self) -> None:
        """Stop the tasks that are being computed; they end their runs with a true status."""


@dataclass(frozen=True)
class EngineRow:
    """A row of the table of sweep engines.

    Attributes:
        start: takes the configuration, the number of cells, and the workers' environment.
        other_machines: whether workers run on other machines, where relative paths mean something else.
    """

    start: Callable[[SweepConfig, int, Mapping[str, str]], Engine]
    other_machines: bool


def num_workers(config: SweepConfig, num_cells: int) -> int:
    """Count the processes of this machine that would compute at once."""
    processes = config.work.processes or len(shared_gpus(config)) or num_cores()
    return max(1, min(processes, num_cells))


def shared_gpus(config: SweepConfig) -> list[int]:
    """List the GPUs of this machine that its workers share; none: they compute on the CPU.

    Raises:
        ValueError: a device was named that is not there or cannot compute.
    """
    device = named_device(config.runtime.device)
    if device is not None and device.type == "cpu":
        return []
    usable = usable_gpus()
    if device is None:
        return usable
    wanted = usable if device.index is None else [device.index]
    if not wanted or not set(wanted) <= set(usable):
        found = ", ".join(f"cuda:{index}" for index in usable) or "none"
        raise ValueError(f"device={config.runtime.device!r}: GPUs that compute here: {found}; choose cpu or auto")
    return wanted


def gpus_to_share(config: SweepConfig) -> list[str]:
    """List the GPUs, as CUDA names them, over which workers are spread; none where one is named."""
    device = named_device(config.runtime.device)
    if device is not None and device.index is not None:
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [named.split(",")[index] if named else str(index) for index in shared_gpus(config)]


def _start_local(config: SweepConfig, num_cells: int, environment: Mapping[str, str]) -> Engine:
    return LocalEngine(num_workers(config, num_cells), environment, gpus_to_share(config))


def _start_ray(config: SweepConfig, _num_cells: int, environment: Mapping[str, str]) -> Engine:
    return RayEngine(config.work, environment, config.runtime.device)


ENGINES: Mapping[str, EngineRow] = {
    "local": EngineRow(_start_local, other_machines=False),
    "ray": EngineRow(_start_ray, other_machines=True),
}


def _row_of(config: SweepConfig) -> EngineRow:
    return lookup(ENGINES, config.work.engine, "engine")


def start_engine(config: SweepConfig, num_cells: int, store: Store) -> Engine:
    """Start the engine that a configuration names.

    Raises:
        ValueError: no Ray, no cluster at the address, or a store that the cluster cannot see.
    """
    row = _row_of(config)
    if row.other_machines:
        check_uri(store.uri, config.work.address)
    environment = {
        "MLFLOW_TRACKING_URI": shared_uri(store.uri) if row.other_machines else store.uri,
        "MLFLOW_EXPERIMENT_ID": store.experiment_id,
        LAUNCHER_RUN: "",  # the run that `mlflow run` has started is the sweep's, not a worker's
    }
    return row.start(config, num_cells, environment)


def data_root(config: SweepConfig) -> str:
    """Return where workers look for the data: on other machines in the same place as here."""
    root = config.grid.data_root
    return str(Path(root).absolute()) if _row_of(config).other_machines else root


def worker_runtime(config: SweepConfig, engine: Engine) -> RuntimeConfig:
    """Return what the networks of a worker run on: each has its share of the cores, and need not try the GPUs again."""
    runtime = config.runtime
    if runtime.device == AUTO and not _row_of(config).other_machines and count_gpus() and not shared_gpus(config):
        runtime = replace(runtime, device="cpu")
    if runtime.threads is not None:
        return runtime
    return replace(runtime, threads=max(1, int(engine.cores_per_task)))
