"""Recalibrates batch norm: resets the running statistics and averages them again."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """Return the batch-norm layers that keep running statistics."""
    return [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]


@torch.no_grad()
def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Reset the running statistics and set them to the cumulative average over the batches (in place).

    Only batch norm runs in training mode meanwhile (no dropout); modes and momenta are restored at the end.

    Args:
        network: changed in its batch-norm buffers alone.
        batches: images (N, C, H, W), well mixed: a batch of one class would bias the variances low.
    """
    layers = batch_norms(network)
    if not layers:
        return
    modes = {module: module.training for module in network.modules()}
    momenta = [layer.momentum for layer in layers]
    network.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
    with _cumulative(layers):
        for images in batches:
            network(images)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    for module, mode in modes.items():
        module.training = mode


@contextmanager
def _cumulative(layers: list[_BatchNorm]) -> Iterator[None]:
    """Give the i-th batch of each layer the momentum 1 / i within the block.

    These are the numbers of PyTorch's own cumulative average (`momentum=None`), which reads its count back from the
    device in every layer and batch.
    """
    counts = dict.fromkeys(layers, 0)

    def count(layer: nn.Module, _: object) -> None:
        assert isinstance(layer, _BatchNorm)
        counts[layer] += 1
        layer.momentum = 1 / counts[layer]

    handles = [layer.register_forward_pre_hook(count) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
