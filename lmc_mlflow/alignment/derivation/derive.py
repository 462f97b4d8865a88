"""Which units of a network may be exchanged? Follow every axis of its tensors through every operation."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from torch import Tensor, fx, nn

from lmc_mlflow.alignment.derivation.axes import Groups, frozen
from lmc_mlflow.alignment.derivation.operation import (
    Call,
    Layout,
    Outcome,
    Value,
)
from lmc_mlflow.alignment.derivation.rules import RULES
from lmc_mlflow.alignment.derivation.trace import Trace, trace
from lmc_mlflow.alignment.symmetry import Part, Symmetry


def derive_symmetry(network: nn.Module, images: Tensor) -> Symmetry:
    """Trace the network with torch.fx and solve which axes of its tensors must be permuted alike.

    Inputs and outputs stay as they are. The network is looked at in evaluation mode and not changed.

    Args:
        network: any module of one input and one output whose course does not depend on the values.
        images: an example (2, C, H, W); only its shape counts.

    Raises:
        ValueError: the network cannot be traced, uses an operation that is not understood, or has a tensor that no
            operation uses.
    """
    traced = trace(network, images)
    _check_used(traced)
    groups = Groups()
    placed = {name: tuple(groups.fresh(size) for size in tensor.shape) for name, tensor in traced.tensors.items()}
    layouts = _follow(traced, groups, placed)
    for axis in layouts[""]:
        groups.freeze(axis)
    state = network.state_dict()
    for name in placed.keys() - state.keys():  # buffers that no state dict holds cannot be moved
        for axis in placed[name]:
            groups.freeze(axis)
    first = _first_names(network)
    return _named(groups, {name: placed[first[name]] for name in state}, layouts)


def _first_names(network: nn.Module) -> dict[str, str]:
    """Each name of a tensor -> its first name (tied parameters have several)."""
    first: dict[int, str] = {}
    every = (*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False))
    return {name: first.setdefault(id(tensor), name) for name, tensor in every}


def _check_used(traced: Trace) -> None:
    nodes = traced.graph.find_nodes(op="placeholder")
    for name, node in zip(traced.tensors, nodes, strict=False):  # the last placeholder is the images
        if not node.users and traced.tensors[name].ndim > 0:
            raise ValueError(
                f"{name}: no operation of the network uses it, so nobody knows what may be exchanged in it"
            )


def _follow(traced: Trace, groups: Groups, placed: Mapping[str, Layout]) -> dict[str, Layout]:
    """The layouts of what the graph returns, after every operation has tied the axes it ties."""
    found: dict[fx.Node, Outcome] = {}
    given = iter(placed.values())
    for node in traced.graph.nodes:
        if node.op == "placeholder" or node.op == "get_attr":
            fixed = tuple(frozen(size) for size in node.meta["val"].shape)  # the images, a constant
            found[node] = next(given, fixed) if node.op == "placeholder" else fixed
        elif node.op == "output":
            results = [found[result] for result in node.args[0]]
            return {name: _single(result) for name, result in zip(traced.outputs, results, strict=True)}
        elif node.name.startswith("getitem"):
            source, index = node.args
            outcome = found[source]
            if not isinstance(outcome, list) or index >= len(outcome):
                raise ValueError(f"{_place(traced, source)}: its output number {index + 1} is not understood")
            found[node] = outcome[index]
        else:
            found[node] = _apply(traced, node, groups, found)
    raise AssertionError("a graph ends with its output")


def _apply(traced: Trace, node: fx.Node, groups: Groups, found: Mapping[fx.Node, Outcome]) -> Outcome:
    name = _operation(node)
    if name not in RULES:
        near = get_close_matches(name, RULES, n=2)
        hint = f" (understood are {' and '.join(near)})" if near else ""
        raise ValueError(
            f"{_place(traced, node)}: the operation {name!r} is not understood, so it is not known which units may be "
            f"exchanged{hint}"
        )
    schema = node.target._schema  # type: ignore[union-attr]
    arguments = {argument.name: argument.default_value for argument in schema.arguments if argument.has_default_value()}
    arguments |= dict(zip((argument.name for argument in schema.arguments), node.args, strict=False)) | node.kwargs
    order = [argument.name for argument in schema.arguments if argument.name in arguments]
    values = {name: _with_layouts(arguments[name], found) for name in order}
    made = node.meta["val"]
    shapes = [tuple(value.shape) for value in (made if isinstance(made, list | tuple) else [made])]
    return RULES[name](groups, Call(name, values, shapes))


def _with_layouts(argument: Any, found: Mapping[fx.Node, Outcome]) -> Any:
    """The argument with a Value for each node of the graph;"""
    if isinstance(argument, fx.Node):
        return Value(_single(found[argument]))
    if isinstance(argument, list | tuple):
        return [_with_layouts(each, found) for each in argument]
    return argument


def _operation(node: fx.Node) -> str:
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return str(getattr(node.target, "__name__", node.target))
    name = str(schema.name)
    return name.removeprefix("aten::").rstrip("_") if name.startswith("aten::") else name


def _place(traced: Trace, node: fx.Node) -> str:
    return f"module {traced.modules.get(node.name) or '(the network itself)'}"


def _single(outcome: Outcome) -> Layout:
    assert isinstance(outcome, tuple), "a list of tensors is taken apart before it is used"
    return outcome


def _named(groups: Groups, tensors: Mapping[str, Layout], outputs: Mapping[str, Layout]) -> Symmetry:
    """Groups are called after the first layer that makes their units (`[0]`, `[1]`, ... where it makes several)."""
    names: dict[int, str] = {}
    sizes: dict[str, int] = {}
    for depth in range(max((len(layout) for layout in tensors.values()), default=0)):
        for tensor, layout in tensors.items():
            if len(layout) <= depth:
                continue
            new = {s.group: s.size for s in groups.resolve(layout[depth]) if s.group is not None}
            new = {group: size for group, size in new.items() if group not in names}
            layer = tensor.rpartition(".")[0] or tensor
            for i, (group, size) in enumerate(new.items()):
                name = f"{layer}[{i}]" if len(new) > 1 else layer
                while name in sizes:
                    name = f"{name}'"
                names[group], sizes[name] = name, size

    def parts(layout: Layout) -> tuple[tuple[Part, ...], ...]:
        return tuple(
            tuple(Part(None if s.group is None else names[s.group], s.size, s.repeat) for s in groups.resolve(axis))
            for axis in layout
        )

    made = {name: parts(layout) for name, layout in outputs.items() if name}
    return Symmetry(sizes, {name: parts(layout) for name, layout in tensors.items()}, made)
