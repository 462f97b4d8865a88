"""Symmetry rules of the operations that compute.

If every input is permuted along its axes as its layout says, the output must be permuted along its own: a rule
ties or freezes axes until that is true.
"""

from collections.abc import Sequence

from lmc_mlflow.alignment.derivation.operation import Layout, Operation, Rule
from lmc_mlflow.alignment.derivation.units.axes import Axis, frozen_axis, length
from lmc_mlflow.alignment.derivation.units.contexts import tie
from lmc_mlflow.alignment.derivation.units.groups import Groups
from lmc_mlflow.alignment.derivation.units.nesting import unmerge_axis


def broadcast(groups: Groups, values: Sequence[Layout], shape: Sequence[int]) -> Layout:
    """Tie entry i of the output to entry i of every input that has the axis at full size."""
    letters = [range(-len(layout), 0) for layout in values]
    out = tie(groups, list(zip(values, letters, strict=True)), range(-len(shape), 0))
    return tuple(axis if length(axis) == size else frozen_axis(size) for axis, size in zip(out, shape, strict=True))


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
    return groups.new_layout(operation.shape)


def linear(groups: Groups, operation: Operation) -> Layout:
    """Follow (..., in) times (out, in) transposed."""
    *leading, features = operation.input.layout
    positions = list(range(len(leading)))
    weight = operation["weight"].layout
    *leading, out = tie(
        groups, [((*leading, features), [*positions, "in"]), (weight, ["out", "in"])], [*positions, "out"]
    )
    return (*leading, _tie_bias(groups, operation, out))


def convolution(groups: Groups, operation: Operation) -> Layout:
    """Follow a convolution of (N, in, ...) by (out, in / groups, ...).

    With several groups, kernels move in whole groups, and so do the channels they read; inside each group kernels move
    freely, and so do the channels (depthwise: each channel is a group).
    """
    batch, channels, *space = operation.input.layout
    out, inner, *kernel = operation["weight"].layout
    _freeze_all(groups, (*space, *kernel))
    if operation["groups"] == 1:
        tie(groups, [((channels,), ["in"]), ((out, inner), ["out", "in"])])
    else:
        _tie_groups_of_channels(groups, channels, (out, inner), operation["groups"])
    return (batch, _tie_bias(groups, operation, out), *_frozen(operation.shape[2:]))


def _tie_groups_of_channels(groups: Groups, channels: Axis, weight: Layout, num_groups: int) -> None:
    """Tie input channels to the axes (out, in / groups) of a kernel that reads them in groups, which move as wholes."""
    out, inner = weight
    blocks, read = unmerge_axis(groups, channels, (num_groups, length(inner)))
    made, kernels = unmerge_axis(groups, out, (num_groups, length(out) // num_groups))
    tie(groups, [((blocks, read), ["group", "in"]), ((made, kernels, inner), ["group", "out", "in"])])


def transposed_convolution(groups: Groups, operation: Operation) -> Layout:
    """Follow a transposed convolution of (N, in, ...) by (in, out / groups, ...)."""
    batch, channels, *space = operation.input.layout
    inner, out, *kernel = operation["weight"].layout
    _freeze_all(groups, (*space, *kernel))
    if operation["groups"] > 1:
        _freeze_all(groups, (channels, inner, out))
        out = frozen_axis(operation.shape[1])
    else:
        (out,) = tie(groups, [((inner, out), ["in", "out"]), ((channels,), ["in"])], ["out"])
    return (batch, _tie_bias(groups, operation, out), *_frozen(operation.shape[2:]))


def channel_norm(groups: Groups, operation: Operation) -> Layout:
    """Follow batch and instance norm: weight, bias and running statistics of a channel move with it."""
    batch, channels, *space = operation.input.layout
    for value in operation.tensors()[1:]:
        channels = groups.unify(channels, value.layout[0])
    return (batch, channels, *space)


def group_norm(groups: Groups, operation: Operation) -> Layout:
    """Follow group norm: channels move in whole groups, and inside each group."""
    if operation["num_groups"] > 1:
        groups.blocks(operation.input.layout[1], operation["num_groups"])
    return channel_norm(groups, operation)


def layer_norm(groups: Groups, operation: Operation) -> Layout:
    """Follow layer norm: mean and variance do not depend on the order of entries; weight and bias move with them."""
    layouts = [value.layout for value in operation.tensors()]
    return tie(groups, [(layout, range(-len(layout), 0)) for layout in layouts])


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
    letters = range(-len(shape), 0)
    operands = [
        (one.layout, [*letters[-len(one.layout) : -2], letters[-2], "inner"]),
        (other.layout, [*letters[-len(other.layout) : -2], "inner", letters[-1]]),
    ]
    product = tie(groups, operands, letters)
    return broadcast(groups, [product, *(value.layout for value in added)], shape)


def attention(groups: Groups, operation: Operation) -> Layout:
    """Follow the softmax of queries (..., T, d) times keys (..., S, d), times values (..., S, e).

    A causal mask fixes the positions; another mask is tied to them.
    """
    query, key, value = (operation[name].layout for name in ("query", "key", "value"))
    if operation["enable_gqa"] or operation["is_causal"]:
        _freeze_all(groups, (*query[:-1], *key[:-1], *value[:-1]))
    letters = range(-len(operation.shape), 0)
    leading = letters[:-2]
    operands = [
        (query, [*leading, "query", "inner"]),
        (key, [*leading, "key", "inner"]),
        (value, [*leading, "key", "out"]),
    ]
    if operation["attn_mask"] is not None:
        mask = operation["attn_mask"].layout
        operands.append((mask, [*leading, "query", "key"][-len(mask) :]))
    return tie(groups, operands, [*leading, "query", "out"])
