"""Axes that are flattened into one, or taken apart into several."""

from collections.abc import Sequence

from lmc_mlflow.alignment.derivation.units.axes import Axis, AxisPart, frozen_axis, is_frozen, join, length, nested_axis
from lmc_mlflow.alignment.derivation.units.groups import Groups


def merge_axes(groups: Groups, axes: Sequence[Axis]) -> Axis:
    """Flatten several axes into one, the last running fastest."""
    *outer, merged = (groups.resolve(axis) for axis in axes)
    for axis in reversed(outer):
        merged = nested_axis(axis, merged)
    return groups.resolve(merged)


def unmerge_axis(groups: Groups, axis: Axis, sizes: Sequence[int]) -> list[Axis]:
    """Reshape one axis into several of these sizes, the reverse of `merge_axes`.

    Units that do not lie in whole blocks of the later axes are moved in such blocks, and inside them, from now on.
    """
    axes: list[Axis] = []
    axis = groups.resolve(axis)
    for size in sizes[:-1]:
        outer, axis = _divide(groups, axis, length(axis) // size)
        axes.append(outer)
    return [groups.resolve(each) for each in (*axes, axis)]


def _divide(groups: Groups, axis: Axis, num_inner: int) -> tuple[Axis, Axis]:
    """Take an axis apart into blocks of so many entries and what lies inside each; all insides are tied."""
    if num_inner == 1:
        return axis, frozen_axis(1)
    outer: list[AxisPart] = []
    inside: Axis | None = None
    rest = groups.resolve(axis)
    while rest:
        part = rest[0]
        if part.repeat % num_inner == 0:
            blocks, inner = _divide(groups, part.inner, num_inner)
            outer += nested_axis((AxisPart(part.group, part.size),), blocks)
            rest = rest[1:]
        elif part.length >= num_inner and num_inner % part.repeat == 0 and part.size % (num_inner // part.repeat) == 0:
            num_blocks = part.size * part.repeat // num_inner
            if part.group is not None and num_blocks > 1:
                groups.divide(part, num_blocks)
                rest = groups.resolve(rest)
                continue
            inner = (AxisPart(part.group, part.size // num_blocks, part.inner),)
            outer.append(AxisPart(None, num_blocks))
            rest = rest[1:]
        else:
            inner, rest = groups.cut(rest, num_inner)
            outer.append(AxisPart(None, 1))
        before = inside
        inside = groups.resolve(inner) if inside is None else groups.unify(inside, inner)
        if before is not None:
            rest = groups.resolve(rest)
    assert inside is not None
    blocks = groups.resolve(join(iter(outer)))
    return blocks, frozen_axis(num_inner) if is_frozen(inside) else inside
