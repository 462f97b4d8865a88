"""Where is the work done? The table of engines, and what each is given."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch

from lmc_mlflow.config.choices import lookup
from lmc_mlflow.config.commands import SweepConfig
from lmc_mlflow.config.runtime import RuntimeConfig
from lmc_mlflow.parallel import num_cores
from lmc_mlflow.sweeps.engines.local import LocalEngine
from lmc_mlflow.sweeps.engines.ray import RayEngine, check_uri, shared_uri
from lmc_mlflow.sweeps.worker import Done, Task


class Engine(Protocol):
    """Works on tasks, several at once."""

    @property
    def workers(self) -> int:
        """How many tasks may be at work at once."""

    def has_room(self) -> bool:
        """Whether it takes another task."""

    def submit(self, task: Task) -> None:
        """Take a task."""

    def finished(self, seconds: float) -> list[Done]:
        """The tasks that are over, waited for so long at most."""

    def close(self) -> None:
        """End what is at work, truthfully."""


def num_workers(config: SweepConfig, num_cells: int) -> int:
    """How many processes of this machine would be at work at once."""
    gpus = torch.cuda.device_count() if config.runtime.device != "cpu" else 0
    processes = config.work.processes or gpus or num_cores()
    return max(1, min(processes, num_cells))


def gpus_in_turn(config: SweepConfig) -> list[str]:
    """The GPUs that workers share out among them, as CUDA names them; none where a device is named or there is one."""
    count = torch.cuda.device_count()
    if config.runtime.device not in ("auto", "cuda") or count < 2:
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[:count] if named else [str(i) for i in range(count)]


def _local(config: SweepConfig, num_cells: int, _uri: str) -> Engine:
    return LocalEngine(num_workers(config, num_cells), gpus_in_turn(config))


def _ray(config: SweepConfig, _num_cells: int, uri: str) -> Engine:
    check_uri(uri, config.work.address)
    return RayEngine(config.work, environment(config, uri))


_ENGINES: Mapping[str, Callable[[SweepConfig, int, str], Engine]] = {"local": _local, "ray": _ray}


def start_engine(config: SweepConfig, num_cells: int, uri: str) -> Engine:
    """The engine that a configuration names.

    Raises:
        ValueError: no Ray, no cluster at the address, or a store that the cluster cannot see.
    """
    return lookup(_ENGINES, config.work.engine, "engine")(config, num_cells, uri)


def environment(config: SweepConfig, uri: str) -> dict[str, str]:
    """What every worker is told of the tracking server."""
    return {"MLFLOW_TRACKING_URI": shared_uri(uri) if config.work.engine == "ray" else uri}


def data_root(config: SweepConfig) -> str:
    """Where workers look for the data: on a cluster in the same place on every node."""
    root = config.grid.data_root
    return str(Path(root).absolute()) if config.work.engine == "ray" else root


def runtime(config: SweepConfig, engine: Engine) -> RuntimeConfig:
    """What networks run on: each worker has its share of the cores."""
    if config.runtime.threads is not None:
        return config.runtime
    share = config.work.cpus_per_job if config.work.engine == "ray" else num_cores() // engine.workers
    return replace(config.runtime, threads=max(1, int(share)))
