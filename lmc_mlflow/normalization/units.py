"""Finds the layers whose outputs are hidden units, and measures the mean and variance of each unit over images."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Moments:
    """Statistics of the units of a layer over some images (and positions in them).

    Attributes:
        count: number of values of each unit.
        mean: (C,) float64.
        var: (C,) float64, with the divisor `count`.
    """

    count: int
    mean: Tensor
    var: Tensor


MomentsByBatch = Sequence[Mapping[str, Moments]]
"""One mapping for each batch: layer -> moments."""


@torch.no_grad()
def unit_layers(network: nn.Module, images: Tensor) -> tuple[str, ...]:
    """Return the names of the layers whose outputs are hidden units, in the order in which they run.

    These are batch norms that keep statistics, and linear layers and convolutions that no such norm directly follows.
    The last linear layer computes the outputs, which are no hidden units.

    Args:
        network: its training and evaluation modes are restored.
        images: a few inputs of the network.
    """
    names = {module: name for name, module in network.named_modules()}
    ran: list[nn.Module] = []
    made: list[tuple[nn.Module, Tensor]] = []
    followed: set[nn.Module] = set()

    def on_linear(module: nn.Module, _: Any, output: Tensor) -> None:
        ran.append(module)
        made.append((module, output))

    def on_norm(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        ran.append(module)
        followed.update(maker for maker, output in made if output is inputs[0])

    handles: list[RemovableHandle] = []
    for module in network.modules():
        if isinstance(module, LINEAR):
            handles.append(module.register_forward_hook(on_linear))
        elif is_norm(module):
            handles.append(module.register_forward_pre_hook(on_norm))
    with evaluated(network), _removal_of(handles):
        network(images)
    left_out = followed | {module for module, _ in made[-1:]}
    return tuple(dict.fromkeys(names[module] for module in ran if module not in left_out))


def is_norm(module: nn.Module) -> bool:
    """Tell whether a module is a batch norm that keeps running statistics."""
    return isinstance(module, _BatchNorm) and module.track_running_stats


@torch.no_grad()
def record_moments(network: nn.Module, layers: Iterable[str], batches: Iterable[Tensor]) -> MomentsByBatch:
    """Measure the moments of every hidden unit, batch by batch, in evaluation mode.

    Args:
        network: not changed.
        layers: from `unit_layers`.
        batches: images (n, C, H, W).
    """
    found: list[dict[str, Moments]] = []

    def see(name: str, moments: Moments) -> None:
        found[-1][name] = moments

    with evaluated(network), observe_units(network, layers, see):
        for images in batches:
            found.append({})
            network(images)
    return found


def pool_moments(batches: MomentsByBatch, name: str) -> Moments:
    """Compute the moments of a layer over all batches: the variance within them plus the variance between them."""
    parts = [batch[name] for batch in batches]
    count = sum(part.count for part in parts)
    shares = [part.count / count for part in parts]
    means, variances = (torch.stack([getattr(part, key) for part in parts]) for key in ("mean", "var"))
    mean = _weighted_sum(shares, means)
    return Moments(count, mean, _weighted_sum(shares, variances + (means - mean).square()))


def _weighted_sum(weights: list[float], rows: Tensor) -> Tensor:
    """Sum rows (B, C) by weights that need not be copied to their device."""
    return torch.stack(torch._foreach_mul(list(rows), weights)).sum(0)


@contextmanager
def observe_units(network: nn.Module, layers: Iterable[str], see: Any) -> Iterator[None]:
    """Call `see(name, moments)` within the block, every time one of the layers runs.

    Where `see` returns a scale and a shift (C,), the following layers get scale * unit + shift. Moments of the units of
    a batch norm are computed from those of its inputs, since some batch norms apply an activation of their own.

    Args:
        network: that runs within the block.
        layers: from `unit_layers`.
        see: (name, moments) -> None, or a scale and a shift.
    """
    modules = dict(network.named_modules())
    handles: list[RemovableHandle] = []
    for name in layers:
        module = modules[name]
        if is_norm(module):
            handles.append(module.register_forward_pre_hook(_norm_hook(name, see, _weight_and_bias(module))))
        else:
            handles.append(module.register_forward_hook(_linear_hook(name, see)))
    with _removal_of(handles):
        yield


def _linear_hook(name: str, see: Any) -> Any:
    def hook(module: nn.Module, _: Any, output: Tensor) -> Tensor | None:
        axis = output.ndim - 1 if isinstance(module, nn.Linear) else 1
        change = see(name, _moments(output, axis))
        if change is None:
            return None
        shape = [-1 if i == axis else 1 for i in range(output.ndim)]
        scale, shift = (part.to(output.dtype).view(shape) for part in change)
        changed: Tensor = scale * output + shift
        return changed

    return hook


def _norm_hook(name: str, see: Any, plain: tuple[Tensor, Tensor]) -> Any:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, _BatchNorm)
        assert module.running_mean is not None
        assert module.running_var is not None
        of_inputs = _moments(inputs[0], 1)
        factor = plain[0].double() * torch.rsqrt(module.running_var.double() + module.eps)
        mean = factor * (of_inputs.mean - module.running_mean.double()) + plain[1].double()
        change = see(name, Moments(of_inputs.count, mean, factor.square() * of_inputs.var))
        if change is not None:
            scale, shift = change
            module.weight.copy_(plain[0] * scale)
            module.bias.copy_(plain[1] * scale + shift)

    return hook


def _weight_and_bias(norm: nn.Module) -> tuple[Tensor, Tensor]:
    assert isinstance(norm, _BatchNorm)
    if norm.weight is None:
        assert norm.running_var is not None
        return torch.ones_like(norm.running_var), torch.zeros_like(norm.running_var)
    return norm.weight.detach().clone(), norm.bias.detach().clone()


def _moments(values: Tensor, axis: int) -> Moments:
    var, mean = torch.var_mean(values.detach(), [i for i in range(values.ndim) if i != axis], correction=0)
    return Moments(values.numel() // values.shape[axis], mean.double(), var.double())


@contextmanager
def evaluated(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode within the block."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def _removal_of(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
