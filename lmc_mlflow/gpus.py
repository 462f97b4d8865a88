"""Finds the GPUs of this machine on which PyTorch can compute."""

import gc
import json
import logging
import subprocess
import sys
import warnings
from functools import cache

import torch

from lmc_mlflow.errors import first_line

logger = logging.getLogger(__name__)
CPU = torch.device("cpu")


def choose_gpu() -> torch.device:
    """Return the first GPU that computes, or the CPU; log once why it is not the first of all."""
    faults: list[str] = []
    for index in range(count_gpus()):
        fault = why_not(index)
        if not fault:
            return _explained(torch.device("cuda", index), faults)
        faults.append(fault)
    return _explained(CPU, faults)


def check_gpu(device: torch.device) -> None:
    """Refuse a GPU that is not there or cannot compute.

    Raises:
        ValueError: saying why, and what else there is.
    """
    count = count_gpus()
    if (device.index or 0) >= count:
        remarks = "".join(f" ({said})" for said in _warnings()[:1])
        devices = "1 CUDA device" if count == 1 else f"{count} CUDA devices"
        raise ValueError(f"device={str(device)!r}: this machine has {devices}{remarks}; choose cpu or auto")
    fault = why_not(device.index or 0)
    if fault:
        raise ValueError(f"device={str(device)!r}: {fault}; choose cpu or auto")


def count_gpus() -> int:
    """Count the GPUs that are visible to this process, whether they can compute or not."""
    with warnings.catch_warnings(action="ignore"):  # a driver that is too old, which `_warnings` tells
        return torch.cuda.device_count()


@cache
def why_not(index: int) -> str:
    """Try one product on a GPU; return "" if it comes out right, or else the name of the GPU and the reason."""
    try:
        _warnings()
        ones = torch.ones(2, 2, device=torch.device("cuda", index))
        fault = "" if float((ones @ ones).sum()) == 8 else "its products are wrong"
    except Exception as error:  # noqa: BLE001 (whatever a driver raises is the fault of this GPU)
        fault = first_line(error)
    if "no kernel image" in fault:
        fault += f" (this PyTorch has kernels for {', '.join(torch.cuda.get_arch_list())})"
    return f"{_name_of(index)}: {fault}" if fault else ""


@cache
def usable_gpus() -> list[int]:
    """List the GPUs that compute, as tried in a process of its own: this one keeps no memory on any of them."""
    if not count_gpus():
        return []
    command = [sys.executable, "-m", __name__]
    faults: list[str] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    usable = [index for index, fault in enumerate(faults) if not fault]
    unusable = [fault for fault in faults if fault]
    if unusable:
        _log_once(f"{len(usable)} of {len(faults)} GPUs compute; {'; '.join(unusable)}")
    return usable


def release_gpu() -> bool:
    """Give the memory that PyTorch keeps for later back; return whether this process can still use its GPU."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return True
    try:
        gc.collect()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    except RuntimeError:  # such an error stays with the process: all that follows fails with it
        return False
    return True


def _explained(device: torch.device, faults: list[str]) -> torch.device:
    """Log once why a device was taken, where there is a reason to say so."""
    remarks = faults or _warnings()
    if remarks:
        _log_once(f"device=auto computes on {'the CPU' if device == CPU else device}: {'; '.join(remarks)}")
    return device


@cache
def _log_once(line: str) -> None:
    logger.warning(line)


@cache
def _warnings() -> tuple[str, ...]:
    """Start CUDA where there is a GPU; return the first line of each warning of PyTorch's instead of printing it."""
    with warnings.catch_warnings(record=True, action="always") as caught:
        if torch.cuda.is_available():
            torch.cuda.init()  # type: ignore[no-untyped-call]
    return tuple(dict.fromkeys(str(warning.message).strip().partition("\n")[0] for warning in caught))


def _name_of(index: int) -> str:
    try:
        major, minor = torch.cuda.get_device_capability(index)
        return f"cuda:{index} ({torch.cuda.get_device_name(index)}, sm_{major}{minor})"
    except Exception:  # noqa: BLE001 (the driver does not even tell its name)
        return f"cuda:{index}"


if __name__ == "__main__":
    print(json.dumps([why_not(index) for index in range(count_gpus())]))  # noqa: T201 (read by `usable_gpus`)
