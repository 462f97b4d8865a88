"""Records the operations of a network as a graph of torch.fx, with the module that each belongs to."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import get_proxy_mode, make_fx


@dataclass(frozen=True)
class Trace:
    """The operations of a network on images of one shape, in evaluation mode."""

    graph: fx.Graph
    """Its placeholders are the tensors, in order, and then the images."""
    tensors: dict[str, Tensor]
    """Every parameter and buffer once, under the first of its names; also buffers that no state dict holds."""
    outputs: list[str]
    """What the graph returns, in order: "" for the network's output, a name for each module that owns parameters."""
    modules: dict[str, str]
    """Node of the graph -> the module that it belongs to."""


def trace(network: nn.Module, images: Tensor) -> Trace:
    """Record every operation of the network on images of this shape; nothing is computed, nothing changed.

    Args:
        network: traced as a copy, in evaluation mode.
        images: an example (N, C, H, W); only its shape counts.

    Raises:
        ValueError: which operations are done depends on the values, or the network raises an error itself.
    """
    traced = copy.deepcopy(network).eval()
    named = (*traced.named_parameters(), *traced.named_buffers())
    tensors = {name: tensor.detach() for name, tensor in named}
    example = next((tensor for tensor in tensors.values() if tensor.is_floating_point()), images)
    outputs: dict[str, Tensor] = {}
    modules = _record_modules(traced)
    for name, module in traced.named_modules():
        if name and next(module.parameters(recurse=False), None) is not None:
            module.register_forward_hook(_keep_output(name, outputs))

    def forward(state: dict[str, Tensor], x: Tensor) -> list[Tensor]:
        out = functional_call(traced, state, (x,))
        if not isinstance(out, Tensor):
            raise ValueError(f"its output is no tensor but a {type(out).__name__}")
        return [out, *outputs.values()]

    try:
        with torch.no_grad():
            record = make_fx(forward, tracing_mode="fake", pre_dispatch=True, _allow_non_fake_inputs=True)
            made = record(tensors, images.to(example) if images.is_floating_point() else images.to(example.device))
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError, AssertionError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"the network cannot be traced, so its symmetry is not known: {reason}") from None
    for node in made.graph.find_nodes(op="get_attr"):  # constants that are no buffers
        node.meta["val"] = getattr(made, node.target)
    return Trace(made.graph, tensors, ["", *outputs], modules)


def _keep_output(name: str, outputs: dict[str, Tensor]) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            outputs[name] = output

    return hook


def _record_modules(network: nn.Module) -> dict[str, str]:
    """Add hooks that note, while the network is traced, the module of each new node of the graph."""
    modules: dict[str, str] = {}
    running = [""]

    def note() -> None:
        mode = get_proxy_mode()
        if mode is not None:
            for node in reversed(mode.tracer.graph.nodes):
                if node.name in modules:
                    break
                modules[node.name] = running[-1]

    def entering(name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            note()
            running.append(name)

        return hook

    def leaving(*_: Any) -> None:
        note()
        running.pop()

    for name, module in network.named_modules():
        module.register_forward_pre_hook(entering(name))
        module.register_forward_hook(leaving)
    return modules
