"""Which layers make a network's hidden units, and what are each unit's mean and variance over images?"""

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
    """Statistics of a layer's units over some images (and places in them).

    Attributes:
        count: how many values of each unit.
        mean: (C,) float64.
        var: (C,) float64, with the divisor `count`.
    """

    count: int
    mean: Tensor
    var: Tensor


Record = Sequence[Mapping[str, Moments]]
"""One mapping a batch: layer -> moments."""


@torch.no_grad()
def unit_layers(network: nn.Module, images: Tensor) -> tuple[str, ...]:
    """Names of the layers that make hidden units, in the order in which they run.

    Batch norms that keep statistics, and the linear layers and convolutions that none of them follows directly.
    The last linear layer makes the outputs, which are no hidden units.

    Args:
        network: its modes are put back.
        images: a few of those it takes.
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
    with _evaluating(network), _removing(handles):
        network(images)
    left_out = followed | {module for module, _ in made[-1:]}
    return tuple(dict.fromkeys(names[module] for module in ran if module not in left_out))


def is_norm(module: nn.Module) -> bool:
    """Whether it is a batch norm that keeps running statistics."""
    return isinstance(module, _BatchNorm) and module.track_running_stats


@torch.no_grad()
def record(network: nn.Module, layers: Iterable[str], batches: Iterable[Tensor]) -> Record:
    """The moments of every hidden unit, batch by batch, in evaluation mode.

    Args:
        network: nothing of it is changed.
        layers: from `unit_layers`.
        batches: images (n, C, H, W).
    """
    found: list[dict[str, Moments]] = []

    def see(name: str, moments: Moments) -> None:
        found[-1][name] = moments

    with _evaluating(network), watching(network, layers, see):
        for images in batches:
            found.append({})
            network(images)
    return found


def together(batches: Record, name: str) -> Moments:
    """The moments of a layer over all batches: the variance within them and that between them."""
    parts = [batch[name] for batch in batches]
    counts = torch.tensor([part.count for part in parts], dtype=torch.float64, device=parts[0].mean.device)
    shares = (counts / counts.sum())[:, None]
    means, variances = (torch.stack([getattr(part, key) for part in parts]) for key in ("mean", "var"))
    mean = (shares * means).sum(0)
    return Moments(int(counts.sum()), mean, (shares * (variances + (means - mean).square())).sum(0))


@contextmanager
def watching(network: nn.Module, layers: Iterable[str], see: Any) -> Iterator[None]:
    """Within the block `see(name, moments)` is told of each layer's units, every time it runs.

    Where it answers with a scale and a shift (C,), the layer's units go on as scale * unit + shift. Moments of a
    batch norm's units follow from those of its inputs, so that it may apply an activation of its own to them.
    """
    modules = dict(network.named_modules())
    handles: list[RemovableHandle] = []
    for name in layers:
        module = modules[name]
        if is_norm(module):
            handles.append(module.register_forward_pre_hook(_norm_hook(name, see, _weight_and_bias(module))))
        else:
            handles.append(module.register_forward_hook(_linear_hook(name, see)))
    with _removing(handles):
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
def _evaluating(network: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def _removing(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
