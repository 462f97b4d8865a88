"""Sets the device, threads and memory of a process, and measures its memory."""

import ctypes
import platform
import resource
import sys

import torch

from lmc_mlflow.config.runtime import RuntimeConfig
from lmc_mlflow.seeds import set_determinism
from lmc_mlflow.workflows.lifecycle.gpus import check_gpu, choose_gpu

AUTO = "auto"
MALLOC_SETTINGS = ((-4, 0), (-1, 2**31 - 1), (-2, 2**26))
"""M_MMAP_MAX: no block is a mapping of its own; M_TRIM_THRESHOLD, M_TOP_PAD: the heap shrinks late, grows by 64 MB."""


def prepare_machine(config: RuntimeConfig) -> torch.device:
    """Set threads and determinism, and choose the device.

    Raises:
        ValueError: no such device here, or one that cannot compute.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    set_determinism(config.deterministic)
    if config.keep_memory:
        keep_freed_memory()
    device = named_device(config.device)
    if device is None:
        return choose_gpu()
    if device.type == "cuda":
        check_gpu(device)
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
    """Measure the most memory that this process has held, in GiB: resident, and on a GPU also allocated there."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes elsewhere
    found = {"cost/peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30}
    if device.type == "cuda":
        found["cost/peak_gpu_memory_gb"] = torch.cuda.max_memory_allocated(device) / 2**30
    return found
