"""Sets how a GPU rounds the factors of float32 products."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

TF32, FLOAT32 = "tf32", "ieee"
"""PyTorch's words."""


@contextmanager
def products(precision: str) -> Iterator[None]:
    """Let a GPU round the factors of float32 products to TF32 within the block if `precision` is `tf32`."""
    before = _roundings()
    set_products(precision)
    try:
        yield
    finally:
        _round(before)


def set_products(precision: str) -> None:
    """Let a GPU round the factors of float32 products to TF32 from now on if `precision` is `tf32`, or not at all."""
    _round([TF32 if precision == TF32 else FLOAT32] * max(2, len(_operations())))


def _operations() -> list[Any]:
    """The switches of matrix products, convolutions and recurrent layers; none before PyTorch 2.9."""
    cudnn: Any = torch.backends.cudnn
    return [torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn] if hasattr(torch.backends, "fp32_precision") else []


def _roundings() -> list[str]:
    """How each operation rounds; PyTorch refuses to read the older switches once somebody has set the newer ones."""
    if _operations():
        return [operation.fp32_precision for operation in _operations()]
    older = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    return [TF32 if allowed else FLOAT32 for allowed in older]


def _round(roundings: Sequence[str]) -> None:
    """Set both kinds of switches, so that what reads either of them, PyTorch's own code too, finds no contradiction."""
    torch.backends.cuda.matmul.allow_tf32 = roundings[0] == TF32
    torch.backends.cudnn.allow_tf32 = roundings[1] == TF32
    for operation, rounding in zip(_operations(), roundings, strict=False):
        operation.fp32_precision = rounding
