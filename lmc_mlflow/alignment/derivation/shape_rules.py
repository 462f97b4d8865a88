"""How do the operations that only rearrange entries carry the axes of their tensors along?"""

import math

from lmc_mlflow.alignment.derivation.axes import (
    Axis,
    Groups,
    frozen,
    length,
    merged,
    parted,
    side_by_side,
)
from lmc_mlflow.alignment.derivation.compute_rules import broadcast
from lmc_mlflow.alignment.derivation.operation import Call, Layout


def reshape(groups: Groups, call: Call) -> Layout:
    """Flatten, view, squeeze and the like, by the shapes before and after."""
    layout, before, after = call.input.layout, call.input.shape, call.shape
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
        block = merged(groups, layout[start:i]) if i > start else frozen(1)
        sizes = [size for size in after[first:j] if size > 1]
        parts = iter(parted(groups, block, sizes) if sizes else [])
        out += [next(parts) if size > 1 else frozen(1) for size in after[first:j]]
    return tuple(out)


def permuted(groups: Groups, call: Call) -> Layout:
    """The same axes in another order."""
    del groups
    layout = call.input.layout
    if call.name == "permute":
        order = [dim % len(layout) for dim in call["dims"]]
    else:
        one, other = (1, 0) if call.name in ("t", "numpy_T") else (call["dim0"], call["dim1"])
        order = list(range(len(layout)))
        if len(layout) > 1:
            order[one], order[other] = order[other], order[one]
    return tuple(layout[place] for place in order)


def concatenated(groups: Groups, call: Call) -> Layout:
    """Side by side along one axis, tied along the others."""
    layouts = [value.layout for value in call["tensors"]]
    dim = call["dim"] % len(call.shape)
    out = list(layouts[0])
    for place in range(len(out)):
        if place == dim:
            out[place] = side_by_side([layout[place] for layout in layouts])
        else:
            for layout in layouts[1:]:
                groups.unify(out[place], layout[place])
    return tuple(out)


def stacked(groups: Groups, call: Call) -> Layout:
    """Along a new axis, tied along the others."""
    layouts = [value.layout for value in call["tensors"]]
    for layout in layouts[1:]:
        for one, other in zip(layouts[0], layout, strict=True):
            groups.unify(one, other)
    dim = call["dim"] % len(call.shape)
    return (*layouts[0][:dim], frozen(len(layouts)), *layouts[0][dim:])


def expanded(groups: Groups, call: Call) -> Layout:
    """Axes of one entry repeated; the others as they are."""
    return broadcast(groups, [call.input.layout], call.shape)


def padded(groups: Groups, call: Call) -> Layout:
    """Entries added before and after; anything but constants, or a negative amount, freezes the axis."""
    layout, amounts = list(call.input.layout), list(call["pad"])
    for i in range(len(amounts) // 2):
        before, after = amounts[2 * i], amounts[2 * i + 1]
        place = len(layout) - 1 - i
        if min(before, after) < 0 or call.arguments.get("mode", "constant") != "constant":
            groups.freeze(layout[place])
            layout[place] = frozen(call.shape[place])
        elif before or after:
            layout[place] = groups.resolve((*frozen(before), *layout[place], *frozen(after)))
    return tuple(layout)


def selected(groups: Groups, call: Call) -> Layout:
    """One entry of an axis, which is gone then; the entry must be where it was."""
    layout, dim = call.input.layout, call["dim"] % len(call.input.layout)
    groups.freeze(layout[dim])
    return (*layout[:dim], *layout[dim + 1 :])


def sliced(groups: Groups, call: Call) -> Layout:
    """Some entries of an axis; units do not cross the borders of the slice."""
    layout, dim = call.input.layout, call["dim"] % len(call.input.layout)
    total, size = length(layout[dim]), call.shape[dim]
    if size == total:
        return layout
    start = call["start"] if call["start"] is not None else 0
    start = start + total if start < 0 else min(start, total)
    if call.arguments.get("step", 1) != 1:
        groups.freeze(layout[dim])
        return (*layout[:dim], frozen(size), *layout[dim + 1 :])
    _, rest = groups.cut(layout[dim], start)
    taken, _ = groups.cut(rest, size)
    return (*layout[:dim], taken, *layout[dim + 1 :])


def parts(groups: Groups, call: Call) -> list[Layout]:
    """Consecutive pieces of an axis; units stay in their piece."""
    layout, dim = call.input.layout, call["dim"] % len(call.input.layout)
    out, rest = [], layout[dim]
    for shape in call.shapes:
        piece, rest = groups.cut(rest, shape[dim])
        out.append((*layout[:dim], piece, *layout[dim + 1 :]))
    return out


def unbound(groups: Groups, call: Call) -> list[Layout]:
    """Every entry of an axis for itself."""
    return [selected(groups, call)] * len(call.shapes)


def rolled(groups: Groups, call: Call) -> Layout:
    """Entries moved along an axis in a circle: their places matter."""
    layout = call.input.layout
    turned = {dim % len(layout) for dim in call["dims"]} if call["dims"] else set(range(len(layout)))
    return tuple(groups.freeze(axis) if i in turned else axis for i, axis in enumerate(layout))
