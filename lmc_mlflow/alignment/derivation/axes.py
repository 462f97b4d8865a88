"""Axes of tensors as parts made of units, and the groups of units that must be permuted alike."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True)
class AxisPart:
    """`size` units that lie one after the other on an axis, `repeat` consecutive entries each.

    A group of None is frozen: its units stay where they are.
    """

    group: int | None
    size: int
    repeat: int = 1

    @property
    def length(self) -> int:
        """Count the entries of the axis that the part covers."""
        return self.size * self.repeat


Axis = tuple[AxisPart, ...]


def frozen_axis(size: int) -> Axis:
    """Make an axis of `size` entries that no permutation may change."""
    return (AxisPart(None, size),)


def length(axis: Axis) -> int:
    """Count the entries of an axis."""
    return sum(part.length for part in axis)


def is_frozen(axis: Axis) -> bool:
    """Say whether no unit of a resolved axis may move."""
    return all(part.group is None for part in axis)


class Groups:
    """Union-find over groups of units, in which a group may also be replaced by several others.

    A group is free, or bound to an axis that takes its place: another group (both are permuted alike), several
    groups side by side (the units of a concatenation), groups whose units are blocks of its own, or a frozen axis.
    Binding only removes freedom, so a rule that was correct for the free group stays correct.
    """

    def __init__(self) -> None:
        self._bound: dict[int, Axis] = {}
        self._numbers = count()

    @property
    def num_bound(self) -> int:
        """Count the groups that are not free any more."""
        return len(self._bound)

    def new_axis(self, size: int) -> Axis:
        """Make an axis of `size` units that may be permuted in any way."""
        return (AxisPart(next(self._numbers), size),) if size > 1 else frozen_axis(size)

    def resolve(self, axis: Axis) -> Axis:
        """Write the same axis with groups that are free."""
        resolved: list[AxisPart] = []
        for part in axis:
            for piece in self._resolve_part(part):
                if resolved and piece.group is None and resolved[-1].group is None:
                    resolved[-1] = AxisPart(None, resolved[-1].size + piece.size)
                else:
                    resolved.append(piece)
        return tuple(resolved)

    def _resolve_part(self, part: AxisPart) -> Axis:
        if part.group is None:
            return frozen_axis(part.length)
        if part.group not in self._bound:
            return (part,)
        inner = self._bound[part.group] = self.resolve(self._bound[part.group])
        return tuple(_repeat(piece, part.repeat) for piece in inner)

    def freeze(self, axis: Axis) -> Axis:
        """Let no unit on this axis move from now on; returns the frozen axis."""
        for part in self.resolve(axis):
            if part.group is not None:
                self._bound[part.group] = frozen_axis(part.size)
        return frozen_axis(length(axis))

    def unify(self, one: Axis, other: Axis) -> Axis:
        """Move entry i of both axes alike from now on; only permutations that both allowed remain allowed."""
        assert length(one) == length(other), (one, other)
        left, right = self.resolve(one), self.resolve(other)
        while left:
            first, second = left[0], right[0]
            if first == second:
                left, right = left[1:], right[1:]
            elif first.group is None and second.group is None:
                shared = min(first.length, second.length)
                left, right = _without(left, shared), _without(right, shared)
            else:
                self._reconcile(first, second)
                left, right = self.resolve(left), self.resolve(right)
        return self.resolve(one)

    def cut(self, axis: Axis, at: int) -> tuple[Axis, Axis]:
        """Split an axis before entry `at`; no permutation moves units across the cut any more."""
        left: list[AxisPart] = []
        right = self.resolve(axis)
        while at > 0:
            part = right[0]
            if part.length <= at:
                left.append(part)
                right, at = right[1:], at - part.length
            elif part.group is None:
                left.append(AxisPart(None, at))
                right, at = _without(right, at), 0
            else:
                self._split(part, at)
                right = self.resolve(right)
        return self.resolve(tuple(left)), right

    def blocks(self, axis: Axis, num_blocks: int) -> Axis:
        """Move the axis in whole blocks from now on; returns the axis of the blocks."""
        if num_blocks == 1:
            self.freeze(axis)
            return frozen_axis(1)
        units = self.new_axis(num_blocks)
        self.unify(tuple(_repeat(unit, length(axis) // num_blocks) for unit in units), axis)
        return self.resolve(units)

    def _split(self, part: AxisPart, at: int) -> None:
        assert part.group is not None
        if at % part.repeat:
            self.freeze((part,))
        else:
            first = at // part.repeat
            self._bound[part.group] = (*self.new_axis(first), *self.new_axis(part.size - first))

    def _reconcile(self, first: AxisPart, second: AxisPart) -> None:
        fine, coarse = sorted((first, second), key=lambda part: (part.group is not None, part.repeat))
        if fine.group is None:  # what is unified with something frozen is frozen
            if coarse.length > fine.length:
                self._split(coarse, fine.length)
            else:
                self.freeze((coarse,))
        elif coarse.repeat % fine.repeat:
            self.freeze((fine, coarse))
        elif fine.length != coarse.length:
            longer = max(fine, coarse, key=lambda part: part.length)
            self._split(longer, min(fine.length, coarse.length))
        else:
            assert coarse.group is not None
            self._bound[fine.group] = (AxisPart(coarse.group, coarse.size, coarse.repeat // fine.repeat),)


def _repeat(part: AxisPart, times: int) -> AxisPart:
    if part.group is None:
        return AxisPart(None, part.length * times)
    return AxisPart(part.group, part.size, part.repeat * times)


def _without(axis: Axis, entries: int) -> Axis:
    rest = axis[0].length - entries
    return (AxisPart(None, rest), *axis[1:]) if rest else axis[1:]


def concatenate_axes(axes: Sequence[Axis]) -> Axis:
    """Put axes one after the other, as a concatenation does."""
    return tuple(part for axis in axes for part in axis)


def merge_axes(groups: Groups, axes: Sequence[Axis]) -> Axis:
    """Flatten several axes into one, the last running fastest.

    Where more than one of them has units that may move, all but the first are frozen.
    """
    axes = [groups.resolve(axis) for axis in axes]
    moving = [i for i, axis in enumerate(axes) if not is_frozen(axis)]
    if not moving:
        return frozen_axis(math.prod(length(axis) for axis in axes))
    for i in moving[1:]:
        groups.freeze(axes[i])
    first = moving[0]
    outer = math.prod(length(axis) for axis in axes[:first])
    inner = math.prod(length(axis) for axis in axes[first + 1 :])
    return groups.resolve(tuple(_repeat(part, inner) for part in groups.resolve(axes[first])) * outer)


def unmerge_axis(groups: Groups, axis: Axis, sizes: Sequence[int]) -> list[Axis]:
    """Reshape one axis into several of these sizes, the reverse of `merge_axes`.

    Where units do not fill whole entries of the first of the new axes, those along the last of them move alike in every
    entry of the others from now on.
    """
    axis = groups.resolve(axis)
    if len(sizes) == 1:
        return [axis]
    inner = length(axis) // sizes[0]
    if not is_frozen(axis) and all((p.size if p.group is None else p.repeat) % inner == 0 for p in axis):
        first = tuple(
            AxisPart(None, p.size // inner) if p.group is None else AxisPart(p.group, p.size, p.repeat // inner)
            for p in axis
        )
        return [first, *(frozen_axis(size) for size in sizes[1:])]
    period = groups.new_axis(sizes[-1])
    groups.unify(period * (length(axis) // sizes[-1]), axis)
    return [*(frozen_axis(size) for size in sizes[:-1]), groups.resolve(period)]
