"""Derives the symmetry of a network: the groups of units that may be permuted, from its traced operations."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from torch import Tensor, fx, nn

from lmc_mlflow.alignment.derivation.held import HeldChannels, layers_of
from lmc_mlflow.alignment.derivation.linearity import bent_axes
from lmc_mlflow.alignment.derivation.naming import name_groups
from lmc_mlflow.alignment.derivation.operation import (
    Layout,
    Operation,
    Output,
    Value,
)
from lmc_mlflow.alignment.derivation.rules.table import RULES, WITHOUT_TENSORS
from lmc_mlflow.alignment.derivation.trace import Trace, trace
from lmc_mlflow.alignment.derivation.units.axes import frozen_axis
from lmc_mlflow.alignment.derivation.units.contexts import settle
from lmc_mlflow.alignment.derivation.units.groups import Groups
from lmc_mlflow.alignment.symmetry import Symmetry


def derive_symmetry(network: nn.Module, images: Tensor) -> Symmetry:
    """Trace the network with torch.fx and solve which axes of its tensors must be permuted alike.

    Inputs and outputs stay as they are. The network is traced in evaluation mode and not changed.

    Args:
        network: any module of one input and one output whose operations do not depend on the values.
        images: an example (2, C, H, W); only its shape counts.

    Raises:
        ValueError: the network cannot be traced, uses an operation that is not understood, or has a tensor that no
            operation uses.
    """
    traced = trace(network, images)
    groups = Groups()
    layouts = {name: groups.new_layout(tensor.shape) for name, tensor in traced.tensors.items()}
    parameters = _parameters(network, traced)
    _check_used(parameters)
    held = HeldChannels(groups, layers_of(traced.graph, parameters, layouts))
    outputs = _apply_rules(traced, groups, layouts, held)
    for axis in outputs[""]:
        groups.freeze(axis)
    held.note_output()
    state = network.state_dict()
    _freeze_buffers(traced, groups, layouts, state, held)
    first = _first_names(network)
    return name_groups(groups, {name: layouts[first[name]] for name in state}, outputs, held)


def _parameters(network: nn.Module, traced: Trace) -> dict[fx.Node, str]:
    """Name the parameters of the network by their nodes."""
    nodes = traced.graph.find_nodes(op="placeholder")
    parameters = {name for name, _ in network.named_parameters()}
    return {node: name for node, name in zip(nodes, traced.tensors, strict=False) if name in parameters}


def _first_names(network: nn.Module) -> dict[str, str]:
    """Each name of a tensor -> its first name (tied parameters have several)."""
    first: dict[int, str] = {}
    every = (*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False))
    return {name: first.setdefault(id(tensor), name) for name, tensor in every}


def _check_used(parameters: Mapping[fx.Node, str]) -> None:
    for node, name in parameters.items():
        if not node.users and node.meta["val"].ndim > 0:
            raise ValueError(
                f"{name}: no operation of the network uses it, so nobody knows what may be exchanged in it"
            )


def _freeze_buffers(
    traced: Trace, groups: Groups, layouts: Mapping[str, Layout], state: Collection[str], held: HeldChannels
) -> None:
    """Freeze the buffers that cannot be moved, as no state dict holds them, and those that no operation uses.

    Along an axis on which all entries are alike, units may move beside a buffer that stays.
    """
    for name, node in zip(traced.tensors, traced.graph.find_nodes(op="placeholder"), strict=False):
        if name not in state or not node.users:
            for dim, axis in enumerate(layouts[name]):
                if not node.users or not _is_alike(traced.tensors[name], dim):
                    groups.freeze(axis)
            held.note(f"the buffer {name}, which no state dict holds")


def _is_alike(tensor: Tensor, dim: int) -> bool:
    """Say whether all entries along an axis are known to be alike; those of a tensor without values are not."""
    return not tensor.is_meta and bool((tensor == tensor.narrow(dim, 0, 1)).all())


def _apply_rules(traced: Trace, groups: Groups, layouts: Mapping[str, Layout], held: HeldChannels) -> dict[str, Layout]:
    """Tie the axes of every operation (in the groups); the layouts of what the graph returns, by name."""
    outputs: dict[fx.Node, Output] = {}
    tensors = iter(layouts.values())
    for node in traced.graph.nodes:
        if node.op == "placeholder" or node.op == "get_attr":
            fixed = tuple(frozen_axis(size) for size in node.meta["val"].shape)  # the images
            outputs[node] = next(tensors, fixed) if node.op == "placeholder" else _constant(groups, node.meta["val"])
        elif node.op == "output":
            results = [outputs[result] for result in node.args[0]]
            return {name: _single(result) for name, result in zip(traced.outputs, results, strict=True)}
        elif node.name.startswith("getitem"):
            source, index = node.args
            several = outputs[source]
            if node.users and (not isinstance(several, list) or index >= len(several)):
                raise ValueError(f"{_module_of(traced, source)}: its output number {index + 1} is not understood")
            outputs[node] = several[index] if isinstance(several, list) and index < len(several) else []
        elif _operation_name(node) in WITHOUT_TENSORS:
            outputs[node] = []
        else:
            made = _apply_rule(traced, node, groups, outputs)
            outputs[node] = [settle(groups, one) for one in made] if isinstance(made, list) else settle(groups, made)
            held.note(f"{_operation_name(node)} in {traced.modules.get(node.name) or '(the network itself)'}")
    raise AssertionError("a graph ends with its output")


def _constant(groups: Groups, value: Tensor) -> Layout:
    """Freeze a constant along every axis on which its entries differ."""
    alike = groups.new_layout(value.shape)
    return tuple(axis if _is_alike(value, dim) else frozen_axis(value.shape[dim]) for dim, axis in enumerate(alike))


def _apply_rule(traced: Trace, node: fx.Node, groups: Groups, outputs: Mapping[fx.Node, Output]) -> Output:
    name = _operation_name(node)
    if name not in RULES:
        near = get_close_matches(name, RULES, n=2)
        hint = f" (understood are {' and '.join(near)})" if near else ""
        raise ValueError(
            f"{_module_of(traced, node)}: the operation {name!r} is not understood, so it is not known which units may "
            f"be exchanged{hint}"
        )
    schema = node.target._schema  # type: ignore[union-attr]
    arguments = {argument.name: argument.default_value for argument in schema.arguments if argument.has_default_value()}
    arguments |= dict(zip((argument.name for argument in schema.arguments), node.args, strict=False)) | node.kwargs
    order = [argument.name for argument in schema.arguments if argument.name in arguments]
    values = {name: _with_layouts(groups, arguments[name], outputs) for name in order}
    made = node.meta["val"]
    shapes = [tuple(value.shape) for value in (made if isinstance(made, list | tuple) else [made])]
    operation = Operation(name, values, shapes)
    try:
        output = RULES[name](groups, operation)
    except ValueError as error:
        raise ValueError(f"{_module_of(traced, node)}: {error}") from None
    for axis in bent_axes(operation):
        groups.bend(axis)
    return output


def _with_layouts(groups: Groups, argument: Any, outputs: Mapping[fx.Node, Output]) -> Any:
    """The argument with a `Value` in place of each node of the graph; lists and tuples become lists."""
    if isinstance(argument, fx.Node):
        return Value(settle(groups, _single(outputs[argument])))
    if isinstance(argument, list | tuple):
        return [_with_layouts(groups, each, outputs) for each in argument]
    return argument


def _operation_name(node: fx.Node) -> str:
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return str(getattr(node.target, "__name__", node.target))
    name = str(schema.name)
    return name.removeprefix("aten::").rstrip("_") if name.startswith("aten::") else name


def _module_of(traced: Trace, node: fx.Node) -> str:
    return f"module {traced.modules.get(node.name) or '(the network itself)'}"


def _single(output: Output) -> Layout:
    assert isinstance(output, tuple), "a list of tensors is taken apart before it is used"
    return output
