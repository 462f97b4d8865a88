"""Finds the layers of a network in the order in which they run, or groups its tensors by patterns."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lmc_mlflow.normalization.units import LINEAR, evaluated

REST = "(rest)"
"""The group of all tensors that no pattern matches."""
SHOWN = 12
"""Names that a message lists."""


@dataclass(frozen=True)
class Layer:
    """Tensors of a network that go along a path together.

    Attributes:
        name: of the module whose parameters they are, of a tensor that belongs to no module within the network, or the
            pattern of a group.
        tensors: names in the state dict, statistics of batch norms included.
        output: the module whose output is the layer's features; empty: there is none.
    """

    name: str
    tensors: tuple[str, ...]
    output: str


@torch.no_grad()
def find_layers(network: nn.Module, images: Tensor, patterns: Sequence[str] = ()) -> tuple[Layer, ...]:
    """List the layers of a network in the order in which they run; every tensor of its state is in one of them.

    A layer is a module with parameters of its own. A batch norm directly behind a linear layer or a convolution belongs
    to that layer, as its statistics are of that layer's units; modules that hold buffers alone belong to the layer that
    runs before them. Tensors of the network itself (a class token) are layers of their own, and tensors that several
    modules share belong to the first of them. What does not run comes last.

    Args:
        network: its modes are restored.
        images: a few inputs (n, C, H, W).
        patterns: of a shell, matched with names of tensors or of modules, as in `stage1`, `*.bias`; each makes a group,
            in this order, and the tensors that none matches are the group `REST` at the end. None: single layers.

    Raises:
        ValueError: a pattern that matches nothing, or a tensor that two patterns match.
    """
    run = _record(network, images)
    single = _single_layers(network, run)
    return _groups(network, single, patterns) if patterns else single


@dataclass(frozen=True)
class _Run:
    """What was recorded of a network that was applied once.

    Attributes:
        used: tensors by identity, in the order of their first use.
        ended: names of modules in the order in which they last ended.
        norms: name of a batch norm -> the module whose output it normalizes.
    """

    used: list[int]
    ended: list[str]
    norms: Mapping[str, str]


class _UseOfTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes which tensors operations use."""

    def __init__(self, watched: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._watched = watched
        self.used: dict[int, None] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for leaf in tree_leaves((args, kwargs or {})):
            if id(leaf) in self._watched:
                self.used.setdefault(id(leaf))
        return func(*args, **(kwargs or {}))


def _named_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Name of the state dict -> the tensor itself, whose identity tells which names are one tensor."""
    own = dict(network.named_parameters(remove_duplicate=False)) | dict(network.named_buffers(remove_duplicate=False))
    return {name: own[name] for name in network.state_dict() if name in own}


def _record(network: nn.Module, images: Tensor) -> _Run:
    names = {module: name for name, module in network.named_modules()}
    made: list[tuple[str, Tensor]] = []
    norms: dict[str, str] = {}
    ended: dict[str, None] = {}

    def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if isinstance(module, _BatchNorm):
            for maker, output in made:
                if inputs and output is inputs[0]:
                    norms[names[module]] = maker

    def after(module: nn.Module, _: Any, output: Any) -> None:
        ended.pop(names[module], None)
        ended[names[module]] = None
        if isinstance(module, LINEAR) and isinstance(output, Tensor):
            made.append((names[module], output))

    uses = _UseOfTensors({id(tensor) for tensor in _named_tensors(network).values()})
    with evaluated(network), _hooks(network, before, after), uses:
        network(images)
    return _Run(list(uses.used), list(ended), norms)


@contextmanager
def _hooks(network: nn.Module, before: Any, after: Any) -> Iterator[None]:
    modules = [module for module in network.modules() if not isinstance(module, torch.jit.ScriptModule)]
    handles = [module.register_forward_pre_hook(before) for module in modules]
    handles += [module.register_forward_hook(after) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _single_layers(network: nn.Module, run: _Run) -> tuple[Layer, ...]:
    named = _named_tensors(network)
    at = {key: i for i, key in enumerate(run.used)}
    place = {name: at.get(id(tensor), len(at)) for name, tensor in named.items()}
    order = sorted(named, key=lambda name: place[name])  # stable: what never runs stays in the order of the network
    owners: dict[int, str] = {}
    for name in order:
        owners.setdefault(id(named[name]), name.rpartition(".")[0] or name)
    members: dict[str, list[str]] = {}
    for name in order:
        members.setdefault(owners[id(named[name])], []).append(name)
    parameters = {name for name, _ in network.named_parameters(remove_duplicate=False)}
    layers: dict[str, list[str]] = {}
    for owner, own in members.items():
        home = run.norms.get(owner, owner)
        if home not in layers and parameters.isdisjoint(own):  # buffers alone
            home = next(reversed(layers), home)
        layers.setdefault(home, []).extend(own)
    norms = {home: norm for norm, home in run.norms.items()}
    listed = {name: i for i, name in enumerate(named)}
    return tuple(
        Layer(name, tuple(sorted(own, key=listed.__getitem__)), _output(norms.get(name, name), layers, run))
        for name, own in layers.items()
    )


def _output(module: str, layers: Mapping[str, Any], run: _Run) -> str:
    """The module, unless it has not run or holds other layers, whose work its output is."""
    return "" if module not in run.ended or any(name.startswith(f"{module}.") for name in layers) else module


def _groups(network: nn.Module, layers: Sequence[Layer], patterns: Sequence[str]) -> tuple[Layer, ...]:
    """Group the tensors by patterns; a group's features are those of the last of its layers."""
    named = _named_tensors(network)
    group: dict[int, str] = {}
    for pattern in patterns:
        matched = [name for name in named if _matches(name, pattern)]
        if not matched:
            more = f" and {len(layers) - SHOWN} more" if len(layers) > SHOWN else ""
            there = ", ".join(layer.name for layer in layers[:SHOWN])
            raise ValueError(f"layer_groups={pattern}: no layer or tensor is called so; there are {there}{more}")
        for name in matched:
            other = group.setdefault(id(named[name]), pattern)
            if other != pattern:
                raise ValueError(f"layer_groups: {other} and {pattern} both match {name}; let one of them do so")
    members: dict[str, list[str]] = {pattern: [] for pattern in (*patterns, REST)}
    for name, tensor in named.items():
        members[group.get(id(tensor), REST)].append(name)
    found = []
    for pattern, own in members.items():
        outputs = [layer.output for layer in layers if layer.output and not set(own).isdisjoint(layer.tensors)]
        if own:
            found.append(Layer(pattern, tuple(own), outputs[-1] if outputs else ""))
    return tuple(found)


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")
