"""Keeps the settings of PyTorch that a command changes for its own process, for callers from Python."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lmc_mlflow.precision import FLOAT32, products


@contextmanager
def torch_settings_kept() -> Iterator[None]:
    """Put threads, determinism and the precision of products, which a command sets, back at the end of the block."""
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    benchmark = torch.backends.cudnn.benchmark
    try:
        with products(FLOAT32):
            yield
    finally:
        torch.set_num_threads(threads)
        if torch.get_deterministic_debug_mode() != mode:
            torch.set_deterministic_debug_mode(mode)
        torch.backends.cudnn.benchmark = benchmark
