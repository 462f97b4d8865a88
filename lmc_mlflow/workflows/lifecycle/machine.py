"""Sets the device, threads and memory of a process, and measures its memory."""

import ctypes
import platform
import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch

from lmc_mlflow.config.runtime import RuntimeConfig
from lmc_mlflow.gpus import check_gpu, choose_gpu
from lmc_mlflow.own_code import make_importable
from lmc_mlflow.seeds import set_determinism

AUTO = "auto"
MALLOC_SETTINGS = ((-4, 0), (-1, 2**31 - 1), (-2, 2**26))
"""M_MMAP_MAX: no block is a mapping of its own; M_TRIM_THRESHOLD, M_TOP_PAD: the heap shrinks late, grows by 64 MB."""


def prepare_machine(config: RuntimeConfig) -> torch.device:
    """Set threads, determinism and the folder of users' own modules; choose the device; begin to measure its memory.

    Raises:
        ValueError: no such device or folder here, or a device that cannot compute.
    """
    make_importable(config.code)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    set_determinism(config.deterministic)
    if config.keep_memory:
        keep_freed_memory()
    device = named_device(config.device) or choose_gpu()
    if device.type == "cuda":
        if config.device != AUTO:
            check_gpu(device)
        torch.cuda.set_device(device.index or 0)  # nothing that names no device goes to another
    _forget_peak(device)
    return device


def named_device(name: str) -> torch.device | None:
    """Return the device that a name means, whether it is there or not; None for `auto`.

    Raises:
        ValueError: no such name.
    """
    if name == AUTO:
        return None
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda") or (device.type == "cpu" and device.index):
        raise ValueError(f"device={name!r}: choose auto, cpu, cuda or cuda:N")
    return device


def keep_freed_memory() -> bool:
    """Let the C library keep freed memory, if it is GNU's; return whether it does.

    By default it gives blocks above 32 MB back to the kernel at once, and every training step gets the memory of
    its feature maps anew, page by page.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(setting, value) == 1 for setting, value in MALLOC_SETTINGS)


def peak_memory(device: torch.device) -> dict[str, float]:
    """Measure the most memory held since the machine was prepared, in GiB: resident, and on a GPU also allocated there.

    Where the system cannot forget an earlier peak, the resident memory is the most that this process has ever held.
    """
    found = {"cost/peak_memory_gb": _resident_peak() / 2**30}
    if device.type == "cuda":
        found["cost/peak_gpu_memory_gb"] = torch.cuda.max_memory_allocated(device) / 2**30
    return found


def _forget_peak(device: torch.device) -> None:
    with suppress(OSError):  # not Linux, or a container without it
        Path("/proc/self/clear_refs").write_text("5")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _resident_peak() -> int:
    """The largest resident memory of this process, in bytes."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes elsewhere
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
