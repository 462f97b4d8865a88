"""Symmetry rules of the operations for which the position of an entry matters: indexing, windows, copies."""

import math

from lmc_mlflow.alignment.derivation.operation import Layout, Operation, Value
from lmc_mlflow.alignment.derivation.units.axes import Axis, concatenate_axes, frozen_axis, length
from lmc_mlflow.alignment.derivation.units.groups import Groups
from lmc_mlflow.alignment.derivation.units.nesting import merge_axes, unmerge_axis


def index(groups: Groups, operation: Operation) -> Layout:
    """Follow indexing by tensors: axes that are indexed are frozen, and so are the indices; the others stay.

    The axes of the indices come where the first indexed axis was, or first of all if others lie in between.
    """
    layout, indices = operation.input.layout, list(operation["indices"])
    dims = [dim for dim, value in enumerate(indices) if value is not None]
    for value in (value for value in indices if value is not None):
        _freeze_all(groups, value.layout)
    for dim in dims:
        groups.freeze(layout[dim])
    kept = [axis for dim, axis in enumerate(layout) if dim not in dims]
    num_new = len(operation.shape) - len(kept)
    at = dims[0] if dims == list(range(dims[0], dims[-1] + 1)) else 0
    out = (*kept[:at], *(frozen_axis(size) for size in operation.shape[at : at + num_new]), *kept[at:])
    if tuple(length(axis) for axis in out) == operation.shape:
        return out
    _freeze_all(groups, layout)  # a mask takes several axes at once
    return tuple(frozen_axis(size) for size in operation.shape)


def index_select(groups: Groups, operation: Operation) -> Layout:
    """Take entries of one axis by their numbers: the axis is frozen, and so are the numbers."""
    layout, dim = operation.input.layout, operation["dim"] % len(operation.input.layout)
    _freeze_all(groups, (layout[dim], *operation["index"].layout))
    return (*layout[:dim], frozen_axis(operation.shape[dim]), *layout[dim + 1 :])


def embedding(groups: Groups, operation: Operation) -> Layout:
    """Look up rows of a table: which row stands where is fixed, the entries of a row move freely."""
    rows, features = operation["weight"].layout
    groups.freeze(rows)
    return (*operation["indices"].layout, features)


def windows(groups: Groups, operation: Operation) -> Layout:
    """Cut an axis into windows that may overlap: the axis is frozen, and a new last axis holds the window."""
    layout, dim = operation.input.layout, operation["dimension"] % len(operation.input.layout)
    groups.freeze(layout[dim])
    return (*layout[:dim], frozen_axis(operation.shape[dim]), *layout[dim + 1 :], frozen_axis(operation.shape[-1]))


def columns(groups: Groups, operation: Operation) -> Layout:
    """Follow patches as columns, (N, C, H, W) -> (N, C k k, L): positions are fixed, a channel is k k entries."""
    *batch, channels, height, width = operation.input.layout
    _freeze_all(groups, [height, width])
    patch = frozen_axis(math.prod(operation["kernel_size"]))
    return (*batch, merge_axes(groups, [channels, patch]), frozen_axis(operation.shape[-1]))


def fold(groups: Groups, operation: Operation) -> Layout:
    """Add columns of patches up to images, (N, C k k, L) -> (N, C, H, W): positions are fixed, channels move."""
    *batch, columns, positions = operation.input.layout
    groups.freeze(positions)
    channels, *kernel = unmerge_axis(groups, columns, [operation.shape[-3], math.prod(operation["kernel_size"])])
    _freeze_all(groups, kernel)
    return (*batch, groups.resolve(channels), *(frozen_axis(size) for size in operation.shape[-2:]))


def repeat(groups: Groups, operation: Operation) -> Layout:
    """Put copies of a tensor side by side along each axis."""
    layout, times = operation.input.layout, list(operation.arguments.get("repeats") or operation["dims"])
    new = len(operation.shape) - len(layout)
    times = [1] * (len(operation.shape) - len(times)) + times
    out: list[Axis] = []
    for dim, (size, count) in enumerate(zip(operation.shape, times, strict=True)):
        axis = layout[dim - new] if dim >= new else frozen_axis(1)
        if count == 1:
            out.append(axis)
        elif length(axis) == 1:
            out.append(groups.new_axis(size))  # all entries are alike
        else:
            out.append(groups.resolve(concatenate_axes([axis] * count)))
    return tuple(out)


def repeat_entries(groups: Groups, operation: Operation) -> Layout:
    """Repeat every entry of an axis on the spot."""
    layout, dim, times = list(operation.input.layout), operation["dim"], operation["repeats"]
    if dim is None or isinstance(times, Value):
        _freeze_all(groups, layout)
        return tuple(frozen_axis(size) for size in operation.shape)
    layout[dim] = merge_axes(groups, [layout[dim], frozen_axis(times)])
    return tuple(layout)


def flip(groups: Groups, operation: Operation) -> Layout:
    """Turn axes around: positions matter, so they are frozen."""
    layout = operation.input.layout
    turned = {dim % len(layout) for dim in operation["dims"]}
    return tuple(groups.freeze(axis) if i in turned else axis for i, axis in enumerate(layout))


def accumulate(groups: Groups, operation: Operation) -> Layout:
    """Follow running sums along an axis, which is frozen."""
    groups.freeze(operation.input.layout[operation["dim"]])
    return operation.input.layout


def triangle(groups: Groups, operation: Operation) -> Layout:
    """Set what lies above or below a diagonal to zero: both last axes are frozen."""
    layout = operation.input.layout
    return (*layout[:-2], *(groups.freeze(axis) for axis in layout[-2:]))


def grid(groups: Groups, operation: Operation) -> list[Layout]:
    """Make coordinates of a grid: all axes are frozen."""
    for value in operation["tensors"]:
        _freeze_all(groups, value.layout)
    return [tuple(frozen_axis(size) for size in shape) for shape in operation.shapes]


def _freeze_all(groups: Groups, axes: Layout | list[Axis]) -> None:
    for axis in axes:
        groups.freeze(axis)
