"""Symmetry rules of the operations that compute.

If every input is permuted along its axes as its layout says, the output must be permuted along its own: a rule
ties or freezes axes until that is true.
"""

from collections.abc import Sequence

from lmc_mlflow.alignment.derivation.axes import Axis, Groups, frozen_axis
from lmc_mlflow.alignment.derivation.operation import (
    Layout,
    Operation,
    Rule,
    Value,
)


def broadcast(groups: Groups, values: Sequence[Layout], shape: Sequence[int]) -> Layout:
    """Tie entry i of the output to entry i of every input that has the axis at full size."""
    out = []
    for i, size in enumerate(shape):
        axis: Axis | None = None
        for layout in values:
            dim = i - len(shape) + len(layout)
            if dim < 0 or Value((layout[dim],)).shape[0] != size:
                continue
            axis = layout[dim] if axis is None else groups.unify(axis, layout[dim])
        out.append(frozen_axis(size) if axis is None else axis)
    return tuple(out)


def _frozen(shape: Sequence[int]) -> Layout:
    return tuple(frozen_axis(size) for size in shape)


def _freeze_all(groups: Groups, axes: Sequence[Axis]) -> None:
    for axis in axes:
        groups.freeze(axis)


def _tie_bias(groups: Groups, operation: Operation, out: Axis) -> Axis:
    """Move the bias, if there is one, with the layer's outputs."""
    bias = operation["bias"]
    return out if bias is None else groups.unify(out, bias.layout[0])


def elementwise(groups: Groups, operation: Operation) -> Layout:
    """Follow a function of one or more tensors entry by entry (broadcast), or one that treats all entries alike."""
    return broadcast(groups, [value.layout for value in operation.tensors()], operation.shape)


def constant(_groups: Groups, operation: Operation) -> Layout:
    """Freeze a new tensor that depends on no value."""
    return _frozen(operation.shape)


def alike(groups: Groups, operation: Operation) -> Layout:
    """Let a new tensor whose entries are all alike be permuted in any way."""
    return tuple(groups.new_axis(size) for size in operation.shape)


def linear(groups: Groups, operation: Operation) -> Layout:
    """Follow (..., in) times (out, in) transposed."""
    *leading, features = operation.input.layout
    out, inner = operation["weight"].layout
    groups.unify(features, inner)
    return (*leading, _tie_bias(groups, operation, out))


def convolution(groups: Groups, operation: Operation) -> Layout:
    """Follow a convolution of (N, in, ...) by (out, in / groups, ...).

    With several groups the kernels of a group move together, and so do the channels they read: each group of the
    layer is a unit (depthwise: each channel).
    """
    batch, channels, *space = operation.input.layout
    out, inner, *kernel = operation["weight"].layout
    _freeze_all(groups, (*space, *kernel))
    if operation["groups"] == 1:
        groups.unify(channels, inner)
    else:
        groups.freeze(inner)
        blocks = groups.blocks(channels, operation["groups"])
        groups.unify(blocks, groups.blocks(out, operation["groups"]))
    return (batch, _tie_bias(groups, operation, out), *_frozen(operation.shape[2:]))


def transposed_convolution(groups: Groups, operation: Operation) -> Layout:
    """Follow a transposed convolution of (N, in, ...) by (in, out / groups, ...)."""
    batch, channels, *space = operation.input.layout
    inner, out, *kernel = operation["weight"].layout
    _freeze_all(groups, (*space, *kernel))
    groups.unify(channels, inner)
    if operation["groups"] > 1:
        _freeze_all(groups, (inner, out))
        out = frozen_axis(operation.shape[1])
    return (batch, _tie_bias(groups, operation, out), *_frozen(operation.shape[2:]))


def channel_norm(groups: Groups, operation: Operation) -> Layout:
    """Follow batch and instance norm: weight, bias and running statistics of a channel move with it."""
    batch, channels, *space = operation.input.layout
    for value in operation.tensors()[1:]:
        channels = groups.unify(channels, value.layout[0])
    return (batch, channels, *space)


def group_norm(groups: Groups, operation: Operation) -> Layout:
    """Follow group norm: with one group channels move freely, otherwise in whole groups."""
    if operation["num_groups"] > 1:
        groups.blocks(operation.input.layout[1], operation["num_groups"])
    return channel_norm(groups, operation)


def layer_norm(groups: Groups, operation: Operation) -> Layout:
    """Follow layer norm: mean and variance do not depend on the order of entries; weight and bias move with them."""
    layout = operation.input.layout
    last = len(operation["normalized_shape"])
    axes = layout[-last:]
    for value in operation.tensors()[1:]:
        axes = tuple(groups.unify(a, b) for a, b in zip(axes, value.layout, strict=True))
    return (*layout[:-last], *axes)


def per_channel(groups: Groups, operation: Operation) -> Layout:
    """Follow PReLU: a slope for each channel (axis 1), or one for all."""
    layout, slope = operation.input.layout, operation["weight"].layout[0]
    if operation["weight"].shape[0] > 1:
        groups.unify(layout[1], slope)
    return layout


def spatial(last: int) -> Rule:
    """Make the rule of pooling and resizing, which mix the last axes and leave the others as they are."""

    def rule(groups: Groups, operation: Operation) -> Layout:
        layout = operation.input.layout
        _freeze_all(groups, layout[-last:])
        return (*layout[:-last], *_frozen(operation.shape[-last:]))

    return rule


def values_and_positions(rule: Rule) -> Rule:
    """Make the rule of an operation that returns positions (on axes that the rule freezes) beside its values."""

    def both(groups: Groups, operation: Operation) -> list[Layout]:
        layout = rule(groups, operation)
        assert isinstance(layout, tuple)
        return [layout, layout]

    return both


def extreme(groups: Groups, operation: Operation) -> Layout | list[Layout]:
    """Follow maximum and minimum: of two tensors, of a whole tensor, or along an axis, whose positions matter then."""
    if "other" in operation.arguments:
        return elementwise(groups, operation)
    if "dim" not in operation.arguments:
        return reduce(groups, operation)
    groups.freeze(operation.input.layout[operation["dim"]])
    return [reduce(groups, operation)] * 2


def halves(groups: Groups, operation: Operation) -> Layout:
    """Follow a gated linear unit: one half of an axis times a function of the other half."""
    layout, dim = list(operation.input.layout), operation["dim"]
    layout[dim] = groups.unify(*groups.cut(layout[dim], operation.shape[dim]))
    return tuple(layout)


def reduce(_groups: Groups, operation: Operation) -> Layout:
    """Follow mean, sum, maximum over axes: the order of the reduced entries does not matter."""
    layout = operation.input.layout
    dims = operation.arguments.get("dim")
    dims = [dims] if isinstance(dims, int) else dims
    gone = {dim % len(layout) for dim in dims} if dims else set(range(len(layout)))
    if operation.arguments.get("keepdim", False):
        return tuple(frozen_axis(1) if i in gone else axis for i, axis in enumerate(layout))
    return tuple(axis for i, axis in enumerate(layout) if i not in gone)


def matrix_product(groups: Groups, operation: Operation) -> Layout:
    """Follow (..., n, k) times (..., k, m), plus the tensor that `addmm` adds."""
    *added, one, other = operation.tensors()
    shape = operation.shape
    if len(one.layout) < 2 or len(other.layout) < 2:  # a vector: rare, so everything is frozen
        for value in operation.tensors():
            _freeze_all(groups, value.layout)
        return _frozen(shape)
    groups.unify(one.layout[-1], other.layout[-2])
    leading = broadcast(groups, [one.layout[:-2], other.layout[:-2]], shape[:-2])
    product = (*leading, one.layout[-2], other.layout[-1])
    return broadcast(groups, [product, *(value.layout for value in added)], shape)


def attention(groups: Groups, operation: Operation) -> Layout:
    """Follow the softmax of queries (..., T, d) times keys (..., S, d), times values (..., S, e).

    A mask fixes heads and positions, and its own axes are fixed by them.
    """
    query, key, value = (operation[name].layout for name in ("query", "key", "value"))
    groups.unify(query[-1], key[-1])
    groups.unify(key[-2], value[-2])
    if operation["enable_gqa"] or operation["is_causal"] or operation["attn_mask"] is not None:
        mask = operation["attn_mask"]
        _freeze_all(groups, (*query[:-1], *key[:-1], *value[:-1], *(() if mask is None else mask.layout)))
    leading = broadcast(groups, [query[:-2], key[:-2], value[:-2]], operation.shape[:-2])
    return (*leading, query[-2], value[-1])
