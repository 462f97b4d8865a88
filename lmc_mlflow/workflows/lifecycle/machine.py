"""Sets the device, threads and memory of a process, and measures its memory."""

import ctypes
import platform
import resource
import sys

import torch

from lmc_mlflow.config.runtime import RuntimeConfig
from lmc_mlflow.own_code import make_importable
from lmc_mlflow.seeds import set_determinism

MALLOC_SETTINGS = ((-4, 0), (-1, 2**31 - 1), (-2, 2**26))
"""M_MMAP_MAX: no block is a mapping of its own; M_TRIM_THRESHOLD, M_TOP_PAD: the heap shrinks late, grows by 64 MB."""


def prepare_machine(config: RuntimeConfig) -> torch.device:
    """Set threads, determinism and the folder of users' own modules, and choose the device.

    Raises:
        ValueError: no such device or folder here.
    """
    make_importable(config.code)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    set_determinism(config.deterministic)
    if config.keep_memory:
        keep_freed_memory()
    if config.device == "auto":
        return _make_current(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        device = torch.device(config.device)
    except RuntimeError:
        raise ValueError(f"device={config.device!r}: choose auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda") or (device.type == "cpu" and device.index):
        raise ValueError(f"device={config.device!r}: choose auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device={config.device!r}: this machine has {torch.cuda.device_count()} CUDA devices; choose cpu or auto"
        )
    return _make_current(device)


def _make_current(device: torch.device) -> torch.device:
    """Make a GPU the current one of the process, so that nothing that names no device goes to another; return it."""
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)
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
