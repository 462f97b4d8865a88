"""Symmetry rules of the operations that only rearrange entries."""

import math
from collections.abc import Sequence

from lmc_mlflow.alignment.derivation.operation import Layout, Operation
from lmc_mlflow.alignment.derivation.rules.compute import broadcast
from lmc_mlflow.alignment.derivation.units.axes import Axis, AxisPart, concatenate_axes, frozen_axis, is_frozen, length
from lmc_mlflow.alignment.derivation.units.contexts import tie
from lmc_mlflow.alignment.derivation.units.groups import Groups
from lmc_mlflow.alignment.derivation.units.nesting import merge_axes, unmerge_axis


def reshape(groups: Groups, operation: Operation) -> Layout:
    """Follow flatten, view, squeeze and the like by the shapes before and after."""
    layout, before, after = operation.input.layout, operation.input.shape, operation.shape
    out: list[Axis] = []
    i = j = 0
    while i < len(before) or j < len(after):
        start, first = i, j
        i, j = min(i + 1, len(before)), min(j + 1, len(after))
        while (left := math.prod(before[start:i])) != (right := math.prod(after[first:j])):
            if left < right:
                i += 1
            else:
                j += 1
        block = merge_axes(groups, layout[start:i]) if i > start else frozen_axis(1)
        sizes = [size for size in after[first:j] if size > 1]
        axes = iter(unmerge_axis(groups, block, sizes) if sizes else [])
        out += [next(axes) if size > 1 else frozen_axis(1) for size in after[first:j]]
    return tuple(out)


def permute(groups: Groups, operation: Operation) -> Layout:
    """Put the same axes in another order."""
    del groups
    layout = operation.input.layout
    if operation.name == "permute":
        order = [dim % len(layout) for dim in operation["dims"]]
    else:
        is_plain = operation.name in ("t", "numpy_T")
        one, other = (1, 0) if is_plain else list(operation.arguments.values())[1:3]
        order = list(range(len(layout)))
        if len(layout) > 1:
            order[one], order[other] = order[other], order[one]
    return tuple(layout[i] for i in order)


def concatenate(groups: Groups, operation: Operation) -> Layout:
    """Put tensors side by side along one axis; the other axes are tied."""
    layouts = [value.layout for value in operation["tensors"]]
    dim = operation["dim"] % len(operation.shape)
    letters = [[(i, k) if k == dim else k for k in range(len(layout))] for i, layout in enumerate(layouts)]
    out = tie(groups, list(zip(layouts, letters, strict=True)))
    return (*out[:dim], concatenate_axes([layout[dim] for layout in layouts]), *out[dim + 1 :])


def stack(groups: Groups, operation: Operation) -> Layout:
    """Put tensors along a new axis; all their axes are tied."""
    layouts = [value.layout for value in operation["tensors"]]
    out = tie(groups, [(layout, range(len(layout))) for layout in layouts])
    dim = operation["dim"] % len(operation.shape)
    return (*out[:dim], frozen_axis(len(layouts)), *out[dim:])


def expand(groups: Groups, operation: Operation) -> Layout:
    """Repeat axes of one entry, whose entries are all alike then; the others stay."""
    before = operation.input.shape
    kept = broadcast(groups, [operation.input.layout], operation.shape)
    new = len(kept) - len(before)
    return tuple(
        axis if i >= new and before[i - new] == length(axis) else groups.new_axis(length(axis))
        for i, axis in enumerate(kept)
    )


def pad(groups: Groups, operation: Operation) -> Layout:
    """Add entries before and after: constants, which are all alike; anything else freezes the axis."""
    layout, amounts = list(operation.input.layout), list(operation["pad"])
    for i in range(len(amounts) // 2):
        before, after = amounts[2 * i], amounts[2 * i + 1]
        dim = len(layout) - 1 - i
        if min(before, after) < 0 or operation.arguments.get("mode", "constant") != "constant":
            groups.freeze(layout[dim])
            layout[dim] = frozen_axis(operation.shape[dim])
        elif is_frozen(groups.resolve(layout[dim])):
            layout[dim] = frozen_axis(operation.shape[dim])
        elif before or after:
            layout[dim] = groups.resolve((*_alike(groups, before), *layout[dim], *_alike(groups, after)))
    return tuple(layout)


def _alike(groups: Groups, size: int) -> Axis:
    return groups.new_axis(size) if size else ()


def select(groups: Groups, operation: Operation) -> Layout:
    """Take one entry of an axis, which disappears; the position of the entry is fixed, so the axis is frozen."""
    dim = operation["dim"] % len(operation.input.layout)
    index = operation["index"] % operation.input.shape[dim]
    (one,) = _entries(groups, operation.input.layout, dim, [index])
    return one


def _entries(groups: Groups, layout: Layout, dim: int, indices: Sequence[int]) -> list[Layout]:
    """Take entries of an axis, which is frozen: what depends on its units is another in each of them."""
    axis, others = layout[dim], (*layout[:dim], *layout[dim + 1 :])
    taken = [others] * len(indices)
    outer = axis[0].group
    if (
        outer is not None
        and axis == (AxisPart(outer, length(axis)),)
        and (not groups.is_replaced(outer) or is_frozen(groups.resolve(axis)))
    ):
        taken = [tuple(groups.member(other, outer, i) for other in others) for i in indices]
    groups.freeze(axis)
    return taken


def slice_axis(groups: Groups, operation: Operation) -> Layout:
    """Take some entries of an axis; units do not cross the borders of the slice."""
    layout, dim = operation.input.layout, operation["dim"] % len(operation.input.layout)
    total, size = length(layout[dim]), operation.shape[dim]
    if size == total:
        return layout
    start = operation["start"] if operation["start"] is not None else 0
    start = start + total if start < 0 else min(start, total)
    if operation.arguments.get("step", 1) != 1:
        groups.freeze(layout[dim])
        return (*layout[:dim], frozen_axis(size), *layout[dim + 1 :])
    _, rest = groups.cut(layout[dim], start)
    taken, _ = groups.cut(rest, size)
    return (*layout[:dim], taken, *layout[dim + 1 :])


def split(groups: Groups, operation: Operation) -> list[Layout]:
    """Cut an axis into consecutive pieces; units stay in their piece."""
    layout, dim = operation.input.layout, operation["dim"] % len(operation.input.layout)
    out, rest = [], layout[dim]
    for shape in operation.shapes:
        piece, rest = groups.cut(rest, shape[dim])
        out.append((*layout[:dim], piece, *layout[dim + 1 :]))
    return out


def unbind(groups: Groups, operation: Operation) -> list[Layout]:
    """Take every entry of an axis as a tensor of its own."""
    dim = operation["dim"] % len(operation.input.layout)
    return _entries(groups, operation.input.layout, dim, range(len(operation.shapes)))


def roll(groups: Groups, operation: Operation) -> Layout:
    """Shift entries along an axis in a circle; their positions matter, so the axis is frozen."""
    layout, dims = operation.input.layout, operation["dims"]
    shifted = {dim % len(layout) for dim in dims} if dims else set(range(len(layout)))
    return tuple(groups.freeze(axis) if i in shifted else axis for i, axis in enumerate(layout))
