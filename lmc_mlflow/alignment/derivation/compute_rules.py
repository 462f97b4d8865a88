"""How do the operations that compute tie the axes of their tensors together?

If every input is permuted along its axes as its layout says, the output must be permuted along its own: a rule
ties or freezes axes until that is true.
"""

from collections.abc import Sequence

from lmc_mlflow.alignment.derivation.axes import Axis, Groups, frozen
from lmc_mlflow.alignment.derivation.operation import (
    Call,
    Layout,
    Rule,
    Value,
)


def broadcast(groups: Groups, values: Sequence[Layout], shape: Sequence[int]) -> Layout:
    """Entry i of the output is made of entry i of every input, or of the one there is."""
    out = []
    for place, size in enumerate(shape):
        axis: Axis | None = None
        for layout in values:
            at = place - len(shape) + len(layout)
            if at < 0 or Value((layout[at],)).shape[0] != size:
                continue
            axis = layout[at] if axis is None else groups.unify(axis, layout[at])
        out.append(frozen(size) if axis is None else axis)
    return tuple(out)


def elementwise(groups: Groups, call: Call) -> Layout:
    """Any function of one or more tensors entry by entry, broadcast; and what treats entries of an axis alike."""
    return broadcast(groups, [value.layout for value in call.tensors()], call.shape)


def constant(_groups: Groups, call: Call) -> Layout:
    """A new tensor that depends on no value."""
    return tuple(frozen(size) for size in call.shape)


def linear(groups: Groups, call: Call) -> Layout:
    """(..., in) times (out, in) transposed."""
    *leading, features = call.input.layout
    out, inner = call["weight"].layout
    groups.unify(features, inner)
    if call["bias"] is not None:
        out = groups.unify(out, call["bias"].layout[0])
    return (*leading, out)


def convolution(groups: Groups, call: Call) -> Layout:
    """(N, in, ...) by (out, in / groups, ...).

    With several groups the kernels of a group move together, and so do the channels they read: each group of the
    layer is a unit (depthwise: each channel).
    """
    batch, channels, *space = call.input.layout
    out, inner, *kernel = call["weight"].layout
    for axis in (*space, *kernel):
        groups.freeze(axis)
    if call["groups"] == 1:
        groups.unify(channels, inner)
    else:
        groups.freeze(inner)
        _tie_blocks(groups, (channels, out), call["groups"])
    if call["bias"] is not None:
        out = groups.unify(out, call["bias"].layout[0])
    return (batch, out, *(frozen(size) for size in call.shape[2:]))


def transposed_convolution(groups: Groups, call: Call) -> Layout:
    """(N, in, ...) by (in, out / groups, ...)."""
    batch, channels, *space = call.input.layout
    inner, out, *kernel = call["weight"].layout
    for axis in (*space, *kernel):
        groups.freeze(axis)
    groups.unify(channels, inner)
    if call["groups"] > 1:
        groups.freeze(inner)
        groups.freeze(out)
        out = frozen(call.shape[1])
    if call["bias"] is not None:
        out = groups.unify(out, call["bias"].layout[0])
    return (batch, out, *(frozen(size) for size in call.shape[2:]))


def _tie_blocks(groups: Groups, axes: Sequence[Axis], num_blocks: int) -> None:
    blocks = groups.blocks(axes[0], num_blocks)
    for axis in axes[1:]:
        groups.unify(blocks, groups.blocks(axis, num_blocks))


def channel_norm(groups: Groups, call: Call) -> Layout:
    """Batch and instance norm: whatever belongs to a channel (weight, bias, running statistics) moves with it."""
    batch, channels, *space = call.input.layout
    for value in call.tensors()[1:]:
        channels = groups.unify(channels, value.layout[0])
    return (batch, channels, *space)


def group_norm(groups: Groups, call: Call) -> Layout:
    """With one group channels move freely, otherwise in whole groups."""
    if call["num_groups"] > 1:
        groups.blocks(call.input.layout[1], call["num_groups"])
    return channel_norm(groups, call)


def layer_norm(groups: Groups, call: Call) -> Layout:
    """Mean and variance over the last axes do not depend on their order; weight and bias move with them."""
    layout = call.input.layout
    last = len(call["normalized_shape"])
    axes = layout[-last:]
    for value in call.tensors()[1:]:
        axes = tuple(groups.unify(a, b) for a, b in zip(axes, value.layout, strict=True))
    return (*layout[:-last], *axes)


def per_channel(groups: Groups, call: Call) -> Layout:
    """PReLU: a slope for each channel (axis 1), or one for all."""
    layout, slope = call.input.layout, call["weight"].layout[0]
    if call["weight"].shape[0] > 1:
        groups.unify(layout[1], slope)
    return layout


def spatial(last: int) -> Rule:
    """Pooling and resizing: the last axes are mixed, the others untouched."""

    def rule(groups: Groups, call: Call) -> Layout:
        layout = call.input.layout
        for axis in layout[-last:]:
            groups.freeze(axis)
        return (*layout[:-last], *(frozen(size) for size in call.shape[-last:]))

    return rule


def unfolded(groups: Groups, call: Call) -> Layout:
    """Patches as columns, (N, C, H, W) -> (N, C k k, L): which entry comes from which channel is fixed."""
    images, *others = call.input.layout
    for axis in others:
        groups.freeze(axis)
    return (images, *(frozen(size) for size in call.shape[1:]))


def first_of_two(rule: Rule) -> Rule:
    """The same for an operation that returns positions beside its values; only the values can be followed."""

    def both(groups: Groups, call: Call) -> list[Layout]:
        layout = rule(groups, call)
        assert isinstance(layout, tuple)
        return [layout]

    return both


def reduced(_groups: Groups, call: Call) -> Layout:
    """Mean, sum, maximum over axes: the order of what is reduced does not matter."""
    layout = call.input.layout
    dims = call.arguments.get("dim")
    dims = [dims] if isinstance(dims, int) else dims
    gone = {dim % len(layout) for dim in dims} if dims else set(range(len(layout)))
    if call.arguments.get("keepdim", False):
        return tuple(frozen(1) if i in gone else axis for i, axis in enumerate(layout))
    return tuple(axis for i, axis in enumerate(layout) if i not in gone)


def matrix_product(groups: Groups, call: Call) -> Layout:
    """(..., n, k) times (..., k, m), plus what `addmm` adds."""
    *added, one, other = call.tensors()
    if len(one.layout) < 2 or len(other.layout) < 2:  # a vector: rare, and nothing moves then
        for value in call.tensors():
            for axis in value.layout:
                groups.freeze(axis)
        return tuple(frozen(size) for size in call.shape)
    groups.unify(one.layout[-1], other.layout[-2])
    leading = broadcast(groups, [one.layout[:-2], other.layout[:-2]], call.shape[:-2])
    return broadcast(groups, [(*leading, one.layout[-2], other.layout[-1]), *(v.layout for v in added)], call.shape)


def attention(groups: Groups, call: Call) -> Layout:
    """Softmax of queries (..., T, d) times keys (..., S, d), times values (..., S, e); a mask fixes the positions."""
    query, key, value = (call[name].layout for name in ("query", "key", "value"))
    groups.unify(query[-1], key[-1])
    groups.unify(key[-2], value[-2])
    if call["enable_gqa"] or call["is_causal"] or call["attn_mask"] is not None:
        for axis in (*query[:-1], *key[:-1], *value[:-1]):
            groups.freeze(axis)
    leading = broadcast(groups, [query[:-2], key[:-2], value[:-2]], call.shape[:-2])
    return (*leading, query[-2], value[-1])
