"""Recalibrates batch norm: resets the running statistics and averages them again."""

from collections.abc import Iterable

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
        layer.momentum = None  # None is PyTorch's word for the cumulative average
        layer.train()
    for images in batches:
        network(images)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    for module, mode in modes.items():
        module.training = mode
