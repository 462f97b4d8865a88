"""Chooses the devices that share the work of a command, and starts the workers that hold it there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from lmc_mlflow.config.runtime import ALL, RAY, DevicesConfig, RuntimeConfig
from lmc_mlflow.gpus import usable_gpus
from lmc_mlflow.parallel import num_cores
from lmc_mlflow.workers.ray_pool import check_cluster
from lmc_mlflow.workers.spread import Here, Movable, Workers, spread_over_processes, spread_over_ray
from lmc_mlflow.workflows.lifecycle.machine import named_device, prepare_machine

CPU = torch.device("cpu")
M = TypeVar("M")


def prepare_devices(config: RuntimeConfig, devices: tuple[str, ...]) -> tuple[torch.device, ...]:
    """Prepare the machine as `prepare_machine` does, and return the devices that share the work, at least one.

    Args:
        config: device, threads and memory; its device is used where `devices` is empty.
        devices: `all`, or names of devices; one device may be named several times, for a process each.

    Raises:
        ValueError: no such device here, or `device` and `devices` are both given.
    """
    if not devices:
        return (prepare_machine(config),)
    if config.device != RuntimeConfig().device:
        raise ValueError(f"give either device={config.device} or devices={','.join(devices)}")
    if devices == (ALL,):
        devices = _all_gpus()
        if not devices:
            raise ValueError("devices=all: no GPU of this machine computes; leave it out, or name cpu,cpu")
    if {"auto", ALL, RAY} & set(devices):
        raise ValueError(f"devices={','.join(devices)}: give {ALL} or {RAY} alone, or names such as cuda:0,cuda:1")
    return tuple(prepare_machine(replace(config, device=name)) for name in devices)


def _all_gpus() -> tuple[str, ...]:
    """Name the GPUs that compute, as tried by a process of its own."""
    return tuple(f"cuda:{index}" for index in usable_gpus())


@dataclass(frozen=True)
class SharedWork:
    """Where the work of a command is done.

    Attributes:
        device: where this process holds data: the only device, or the CPU where workers have devices of their own.
        runtimes: device, threads and memory of each worker process; none: the work is done here.
        ray: the same of each task on a Ray cluster, and the cluster's address; None: not there.
    """

    device: torch.device
    runtimes: tuple[RuntimeConfig, ...] = ()
    ray: tuple[RuntimeConfig, str] | None = None

    @property
    def training_device(self) -> torch.device:
        """Where this process trains: the first device that shares the work, or its own."""
        named = named_device(self.runtimes[0].device) if self.runtimes else None
        return named or self.device

    @contextmanager
    def workers(self, movable: Movable[M]) -> Iterator[Workers[M]]:
        """Yield what computes tasks of one measurer, here or on the devices; worker processes end with the block."""
        if self.ray is not None:
            with spread_over_ray(movable, prepare_machine, *self.ray) as workers:
                yield workers
        elif self.runtimes:
            with spread_over_processes(movable, prepare_machine, self.runtimes) as workers:
                yield workers
        else:
            yield Here(movable.on(self.device))


def share_work(config: RuntimeConfig, sharing: DevicesConfig) -> SharedWork:
    """Prepare this process and choose where its work is done.

    Worker processes on this machine share its cores, unless `threads` says how many each has.

    Raises:
        ValueError: as `prepare_devices` says, or no Ray or no cluster at the address.
    """
    if sharing.devices == (RAY,):
        check_cluster(sharing.address, f"devices={RAY}")
        of_task = replace(config, threads=config.threads or 1)
        return SharedWork(prepare_machine(replace(of_task, device="cpu")), ray=(of_task, sharing.address))
    num_places = len(_all_gpus() if sharing.devices == (ALL,) else sharing.devices)
    if num_places > 1:
        config = replace(config, threads=config.threads or max(1, num_cores() // num_places))
    devices = prepare_devices(config, sharing.devices)
    if len(devices) == 1:
        return SharedWork(devices[0])
    return SharedWork(CPU, tuple(replace(config, device=str(device)) for device in devices))
