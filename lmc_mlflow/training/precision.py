"""How many digits do the products of a training step have?"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch


@contextmanager
def products(precision: str) -> Iterator[None]:
    """Within the block a GPU may round the factors of float32 products to TF32, if that is what `precision` says."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def forward(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """What the forward pass of a step runs in: autocast for bfloat16, in this thread alone."""
    if precision != "bfloat16":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
