"""Derives every random stream of the project by digest from (seed, name, index)."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CUBLAS_WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
"""The environment variable with which cuBLAS repeats to the last bit, and its value."""


def derive_seed(seed: int, name: str, index: int = 0) -> int:
    """Derive the 63-bit seed of the stream (seed, name, index).

    Unlike seed + index, no two (seed, index) share a stream: seed 0 epoch 1 is not seed 1 epoch 0.
    """
    digest = hashlib.sha256(f"{seed}/{name}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def stream(seed: int, name: str, index: int = 0) -> "torch.Generator":
    """Make a fresh CPU generator of that stream."""
    import torch

    return torch.Generator().manual_seed(derive_seed(seed, name, index))


@contextmanager
def global_stream(seed: int, device: "torch.device") -> Iterator[None]:
    """Start PyTorch's global generators from `seed` within the block; after it they are as before.

    Network initialization, dropout and the replay of the paper's draws have no other way in.
    """
    import torch

    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def set_determinism(deterministic: bool) -> None:
    """Switch PyTorch to algorithms that repeat to the last bit on a GPU, or back; products are in float32 either way.

    Raises:
        ValueError: this process has used a GPU before cuBLAS was told to repeat.
    """
    import torch

    from lmc_mlflow.precision import set_products

    name, value = CUBLAS_WORKSPACE
    if name in os.environ or not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        os.environ.setdefault(name, value)  # cuBLAS reads it once, and a later call may ask for bit-equal results
    elif deterministic:
        raise ValueError(f"deterministic=true: the GPU was used before; set {name}={value} before Python starts")
    # Only where it changes (2: on, with errors; 0: off), because the call imports torch._inductor, more than a second.
    if torch.get_deterministic_debug_mode() != (2 if deterministic else 0):
        torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = False
    set_products("float32")  # training's precision=tf32 asks for its own
