"""Chooses the devices that share the work of a command."""

from dataclasses import replace

import torch

from lmc_mlflow.config.runtime import RuntimeConfig
from lmc_mlflow.workflows.lifecycle.machine import prepare_machine

ALL = "all"


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
        devices = tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()))
        if not devices:
            raise ValueError("devices=all: this machine has no CUDA devices; leave it out, or name cpu,cpu")
    if "auto" in devices or ALL in devices:
        raise ValueError(f"devices={','.join(devices)}: give all alone, or names such as cuda:0,cuda:1")
    return tuple(prepare_machine(replace(config, device=name)) for name in devices)
