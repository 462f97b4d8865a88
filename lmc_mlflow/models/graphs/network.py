"""Builds a network from the text form of its graph."""

import functools
import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.fx import Graph, GraphModule
from torch.fx import Node as Traced

from lmc_mlflow.models.graphs.content import (
    DEVICE,
    DTYPE,
    FLOAT,
    MEMORY_FORMAT,
    NODE,
    STATE,
    GraphContent,
    Held,
    Node,
    read_graph,
)
from lmc_mlflow.models.graphs.layers import LAYERS, layer_place
from lmc_mlflow.models.graphs.operators import DROPOUTS, call, operator_of, refuse_random

read_graph_once = functools.lru_cache(maxsize=8)(read_graph)


def graph_network(text: str) -> nn.Module:
    """Build the network of a graph; convolutions, linear layers, norms and dropout are layers, initialized by PyTorch.

    Args:
        text: as `GraphContent.text` gives it.

    Returns:
        A network that maps images (N, C, H, W) to what the original gave; its state dict has the original's names.

    Raises:
        ValueError: the text is no graph of a version that is read here.
    """
    content = read_graph_once(text)
    try:
        return _Builder(content).build()
    except (KeyError, TypeError, IndexError, AttributeError, RuntimeError) as error:
        raise ValueError(f"the graph cannot be built ({type(error).__name__}: {error})") from None


class _Builder:
    """Builds one graph."""

    def __init__(self, content: GraphContent) -> None:
        self._content = content
        self._root = nn.Module()
        self._graph = Graph()
        self._values: dict[str, Any] = {}
        self._device: Traced | None = None

    def build(self) -> nn.Module:
        places = self._place_layers()
        self._place_tensors()
        self._values[self._content.input] = self._graph.placeholder("x")
        for i, node in enumerate(self._content.nodes):
            self._add(node, places.get(i))
        self._graph.output(self._values[self._content.output])
        network = GraphModule(self._root, self._graph, "ExportedNetwork")
        self._root = network  # it has taken over what operations use; counters of norms, which none uses, are added
        self._place_tensors()
        return network

    def _place_layers(self) -> dict[int, str]:
        """Make a layer wherever one operation, or several equal ones, alone use all its tensors; give their places."""
        wanted: dict[str, list[int]] = defaultdict(list)
        users: dict[str, set[int]] = defaultdict(set)
        for i, node in enumerate(self._content.nodes):
            for name in _states(node.args):
                users[name].add(i)
            row = LAYERS.get(node.op)
            if node.op in DROPOUTS:
                wanted[f"dropout_{i}"].append(i)
            elif row is not None and (place := layer_place(node, row)) is not None:
                wanted[place].append(i)
        places: dict[int, str] = {}
        for place in sorted(wanted, key=lambda name: name.count(".")):  # a layer may hold others
            indices = wanted[place]
            first = self._content.nodes[indices[0]]
            row = LAYERS[first.op]
            held = _tensors_of(first, row.tensors, self._content.tensors)
            alone = all(users[f"{place}.{name}"] <= {*indices} for name in held)
            equal = len({_without_input(self._content.nodes[i]) for i in indices}) == 1
            layer = row.make(first, held) if alone and equal else None
            if layer is not None and _fits(layer, place, self._content.tensors):
                parent, name = self._parent(place)
                parent.add_module(name, layer)
                places |= dict.fromkeys(indices, place)
        return places

    def _parent(self, path: str) -> tuple[nn.Module, str]:
        *above, last = path.split(".")
        parent = self._root
        for name in above:
            if not isinstance(getattr(parent, name, None), nn.Module):
                parent.add_module(name, nn.Module())
            parent = getattr(parent, name)
        return parent, last

    def _place_tensors(self) -> None:
        """Register the tensors that no layer has; parameters start at zero, as no layer says how they are drawn."""
        known = {name for name, _ in [*self._root.named_parameters(), *self._root.named_buffers()]}
        for name, held in self._content.tensors.items():
            if name in known:
                continue
            parent, last = self._parent(name)
            value = torch.zeros(held.shape, dtype=_dtype(held.dtype))
            if held.role == "parameter" and value.is_floating_point():
                parent.register_parameter(last, nn.Parameter(value))
            else:
                parent.register_buffer(last, value)

    def _add(self, node: Node, place: str | None) -> None:
        images = next(iter(node.args), "")  # of a layer; the operation calls it `input` or `self`
        values = {name: self._decoded(value) for name, value in node.args.items() if place is None or name == images}
        if place is not None:
            made = self._graph.call_module(place, (values[images],))
        else:
            if node.op not in DROPOUTS:
                refuse_random(node.op, values)
            op = operator_of(node.op)
            made = self._graph.call_function(op, *call(op, values))
        if not node.is_list:
            (self._values[node.out[0]],) = (made,)
            return
        for i, name in enumerate(node.out):
            self._values[name] = self._graph.call_function(_item, (made, i))

    def _decoded(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._decoded(one) for one in value]
        if not isinstance(value, Mapping):
            return value
        ((kind, content),) = value.items()
        if kind == NODE:
            return self._values[content]
        if kind == STATE:
            return self._graph.get_attr(content)
        if kind == FLOAT:
            return float(content)
        if kind == DTYPE:
            return _dtype(content)
        if kind == MEMORY_FORMAT:
            return getattr(torch, content)
        if kind == DEVICE:
            if self._device is None:
                images = self._values[self._content.input]
                self._device = self._graph.call_function(getattr, (images, "device"))
            return self._device
        raise ValueError(f"argument of an unknown kind {kind!r}")


def _item(values: Any, index: int) -> Any:
    return values[index]


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"there is no type {name!r}")
    return found


def _states(value: Any) -> list[str]:
    """List the tensors of the state that arguments name."""
    if isinstance(value, list):
        return [name for one in value for name in _states(one)]
    if isinstance(value, Mapping):
        return [value[STATE]] if STATE in value else [name for one in value.values() for name in _states(one)]
    return []


def _tensors_of(node: Node, names: Any, tensors: Mapping[str, Held]) -> dict[str, Held]:
    return {name: tensors[node.args[name][STATE]] for name in names if node.args.get(name) is not None}


def _without_input(node: Node) -> str:
    return json.dumps([node.op, node.rank, [*node.args.items()][1:]])


def _fits(layer: nn.Module, place: str, tensors: Mapping[str, Held]) -> bool:
    """Whether a layer has the tensors that the graph has at its place: same names, shapes and types."""
    for name, value in layer.state_dict().items():
        held = tensors.get(f"{place}.{name}")
        if held is None or [*value.shape] != held.shape or value.dtype != _dtype(held.dtype):
            return False
    return True
