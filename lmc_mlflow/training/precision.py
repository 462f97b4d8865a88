"""Sets the numerical precision of the forward pass of a training step."""

from contextlib import AbstractContextManager, nullcontext

import torch


def forward(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context of the forward pass of a step: autocast for bfloat16, in this thread alone, or none."""
    if precision != "bfloat16":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
