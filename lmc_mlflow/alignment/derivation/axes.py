"""What stands along an axis of a tensor? Segments of units, and which segments must be permuted alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True)
class Segment:
    """`size` units that lie one after the other, `repeat` consecutive entries each.

    A group of None is frozen: its units stay where they are.
    """

    group: int | None
    size: int
    repeat: int = 1

    @property
    def length(self) -> int:
        """Number of entries of the axis that it covers."""
        return self.size * self.repeat


Axis = tuple[Segment, ...]


def frozen(size: int) -> Axis:
    """An axis that no permutation may touch."""
    return (Segment(None, size),)


def length(axis: Axis) -> int:
    """Number of entries."""
    return sum(segment.length for segment in axis)


def is_frozen(axis: Axis) -> bool:
    """Whether no unit of a resolved axis may move."""
    return all(segment.group is None for segment in axis)


class Groups:
    """Union-find over groups of units, in which a group may also turn out to be made of others.

    A group is free, or bound to an axis that takes its place: another group (both are permuted alike), several
    groups side by side (the units of a concatenation), groups whose units are blocks of its own, or a frozen axis.
    Binding only ever takes freedom away, so whatever was right for the free group stays right.
    """

    def __init__(self) -> None:
        self._bound: dict[int, Axis] = {}
        self._numbers = count()

    def fresh(self, size: int) -> Axis:
        """An axis of `size` units that may be permuted in any way."""
        return (Segment(next(self._numbers), size),) if size > 1 else frozen(size)

    def resolve(self, axis: Axis) -> Axis:
        """The same axis in terms of groups that are free."""
        found: list[Segment] = []
        for segment in axis:
            if segment.group is None:
                parts: Axis = frozen(segment.length)
            elif segment.group in self._bound:
                inner = self._bound[segment.group] = self.resolve(self._bound[segment.group])
                parts = tuple(_scaled(part, segment.repeat) for part in inner)
            else:
                parts = (segment,)
            for part in parts:
                if found and part.group is None and found[-1].group is None:
                    found[-1] = Segment(None, found[-1].size + part.size)
                else:
                    found.append(part)
        return tuple(found)

    def freeze(self, axis: Axis) -> Axis:
        """From now on no unit on this axis moves."""
        for segment in self.resolve(axis):
            if segment.group is not None:
                self._bound[segment.group] = frozen(segment.size)
        return frozen(length(axis))

    def unify(self, one: Axis, other: Axis) -> Axis:
        """From now on entry i of both axes moves alike; the freedom left is what both had."""
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
        """The axis before and from entry `at`; no permutation crosses the cut any more."""
        left: list[Segment] = []
        right = self.resolve(axis)
        while at > 0:
            segment = right[0]
            if segment.length <= at:
                left.append(segment)
                right, at = right[1:], at - segment.length
            elif segment.group is None:
                left.append(Segment(None, at))
                right, at = _without(right, at), 0
            else:
                self._split(segment, at)
                right = self.resolve(right)
        return self.resolve(tuple(left)), right

    def blocks(self, axis: Axis, num_blocks: int) -> Axis:
        """From now on the axis moves in whole blocks; returns the axis of the blocks."""
        if num_blocks == 1:
            self.freeze(axis)
            return frozen(1)
        units = self.fresh(num_blocks)
        self.unify(tuple(_scaled(unit, length(axis) // num_blocks) for unit in units), axis)
        return self.resolve(units)

    def _split(self, segment: Segment, at: int) -> None:
        assert segment.group is not None
        if at % segment.repeat:
            self.freeze((segment,))
        else:
            first = at // segment.repeat
            self._bound[segment.group] = (*self.fresh(first), *self.fresh(segment.size - first))

    def _reconcile(self, first: Segment, second: Segment) -> None:
        fine, coarse = sorted((first, second), key=lambda segment: (segment.group is not None, segment.repeat))
        if fine.group is None:  # what lies beside something frozen is frozen
            if coarse.length > fine.length:
                self._split(coarse, fine.length)
            else:
                self.freeze((coarse,))
        elif coarse.repeat % fine.repeat:
            self.freeze((fine, coarse))
        elif fine.length != coarse.length:
            longer = max(fine, coarse, key=lambda segment: segment.length)
            self._split(longer, min(fine.length, coarse.length))
        else:
            assert coarse.group is not None
            self._bound[fine.group] = (Segment(coarse.group, coarse.size, coarse.repeat // fine.repeat),)


def _scaled(segment: Segment, repeat: int) -> Segment:
    if segment.group is None:
        return Segment(None, segment.size * segment.repeat * repeat)
    return Segment(segment.group, segment.size, segment.repeat * repeat)


def _without(axis: Axis, entries: int) -> Axis:
    rest = axis[0].length - entries
    return (Segment(None, rest), *axis[1:]) if rest else axis[1:]


def side_by_side(axes: Sequence[Axis]) -> Axis:
    """The axis of a concatenation."""
    return tuple(segment for axis in axes for segment in axis)


def merged(groups: Groups, axes: Sequence[Axis]) -> Axis:
    """The axis that flattening several axes, the last running fastest, gives.

    Where more than one of them has units that may move, all but the first are frozen.
    """
    axes = [groups.resolve(axis) for axis in axes]
    moving = [i for i, axis in enumerate(axes) if not is_frozen(axis)]
    total = 1
    for axis in axes:
        total *= length(axis)
    if not moving:
        return frozen(total)
    for i in moving[1:]:
        groups.freeze(axes[i])
    place = moving[0]
    inner = outer = 1
    for axis in axes[:place]:
        outer *= length(axis)
    for axis in axes[place + 1 :]:
        inner *= length(axis)
    return groups.resolve(tuple(_scaled(segment, inner) for segment in groups.resolve(axes[place])) * outer)


def parted(groups: Groups, axis: Axis, sizes: Sequence[int]) -> list[Axis]:
    """The axes into which an axis is reshaped: the reverse of `merged`; frozen where it is not just that."""
    axis = groups.resolve(axis)
    if len(sizes) == 1:
        return [axis]
    inner = length(axis) // sizes[0]
    if not is_frozen(axis) and all((s.size if s.group is None else s.repeat) % inner == 0 for s in axis):
        first = tuple(
            Segment(None, s.size // inner) if s.group is None else Segment(s.group, s.size, s.repeat // inner)
            for s in axis
        )
        return [first, *(frozen(size) for size in sizes[1:])]
    period, rest = groups.cut(axis, sizes[-1]) if _is_periodic(axis, sizes[-1]) else (frozen(sizes[-1]), axis)
    if is_frozen(period):
        groups.freeze(rest)
    return [*(frozen(size) for size in sizes[:-1]), period]


def _is_periodic(axis: Axis, period: int) -> bool:
    covered, first = 0, []
    for segment in axis:
        if covered >= period:
            break
        first.append(segment)
        covered += segment.length
    return covered == period and tuple(first) * (length(axis) // period) == axis
