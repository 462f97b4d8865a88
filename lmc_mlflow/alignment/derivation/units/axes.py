"""Axes of tensors as nested parts: units of a group, and what lies inside each unit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class AxisPart:
    """`size` units that lie one after the other on an axis; inside each of them lie the parts of `inner`.

    A group of None is frozen: its units stay where they are (what lies inside them may move, in each of them alike).
    Without `inner` each unit is one entry.
    """

    group: int | None
    size: int
    inner: "tuple[AxisPart, ...]" = ()

    @cached_property
    def repeat(self) -> int:
        """Count the entries of one unit."""
        return length(self.inner) if self.inner else 1

    @cached_property
    def length(self) -> int:
        """Count the entries of the axis that the part covers."""
        return self.size * self.repeat

    @cached_property
    def groups(self) -> frozenset[int]:
        """Collect the groups of the part and of everything inside."""
        inside = frozenset().union(*(part.groups for part in self.inner))
        return inside if self.group is None else inside | {self.group}

    @cached_property
    def covering(self) -> frozenset[int]:
        """Collect the groups to one of whose units every entry of the part belongs."""
        inside = covering(self.inner)
        return inside if self.group is None else inside | {self.group}

    @property
    def is_frozen(self) -> bool:
        """Say whether nothing of the part may move."""
        return not self.groups


Axis = tuple[AxisPart, ...]


def frozen_axis(size: int) -> Axis:
    """Make an axis of `size` entries that no permutation may change."""
    return (AxisPart(None, size),)


def units_axis(group: int | None, size: int, inner: Axis = ()) -> Axis:
    """Make the axis of `size` units with `inner` inside each, in its shortest form."""
    if len(inner) == 1 and inner[0].group is None and inner[0].length == 1:
        inner = ()
    if group is not None:
        return (AxisPart(group, size, inner),)
    if not any(part.groups for part in inner):
        return frozen_axis(size * (length(inner) if inner else 1))
    if size == 1:
        return inner
    if len(inner) == 1 and inner[0].group is None:
        return (AxisPart(None, size * inner[0].size, inner[0].inner),)
    return (AxisPart(None, size, inner),)


def length(axis: Axis) -> int:
    """Count the entries of an axis."""
    return sum(part.length for part in axis)


def is_frozen(axis: Axis) -> bool:
    """Say whether no unit of a resolved axis may move."""
    return all(part.is_frozen for part in axis)


def num_moving(axis: Axis) -> int:
    """Count the entries of a resolved axis that may move."""
    return sum(part.length if part.group is not None else part.size * num_moving(part.inner) for part in axis)


def groups_of(axis: Axis) -> frozenset[int]:
    """Collect the groups whose units lie on an axis."""
    return frozenset().union(*(part.groups for part in axis))


def covering(axis: Axis) -> frozenset[int]:
    """Collect the groups to one of whose units every entry of the axis belongs."""
    return frozenset.intersection(*(part.covering for part in axis)) if axis else frozenset()


def nested_axis(axis: Axis, inner: Axis) -> Axis:
    """Put `inner` inside every entry of an axis."""
    made = (units_axis(part.group, part.size, nested_axis(part.inner, inner) if part.inner else inner) for part in axis)
    return join(part for piece in made for part in piece)


def concatenate_axes(axes: Sequence[Axis]) -> Axis:
    """Put axes one after the other, as a concatenation does."""
    return tuple(part for axis in axes for part in axis)


def join(parts: Iterator[AxisPart]) -> Axis:
    """Write neighbouring frozen parts as one."""
    joined: list[AxisPart] = []
    for part in parts:
        if joined and part.is_frozen and joined[-1].is_frozen:
            joined[-1] = AxisPart(None, joined[-1].length + part.length)
        else:
            joined.append(part)
    return tuple(joined)


def chain(axis: Axis) -> tuple[list[int], bool]:
    """List the groups from the outside to the inside, as long as one holds the whole of the next.

    Returns:
        the groups, and whether they name every entry of the axis: nothing is frozen or side by side.
    """
    groups = []
    while len(axis) == 1 and axis[0].group is not None:
        groups.append(axis[0].group)
        axis = axis[0].inner
        if not axis:
            return groups, True
    return groups, False


def without(axis: Axis, entries: int) -> Axis:
    """Take entries away from the first part, which is frozen throughout."""
    rest = axis[0].length - entries
    return (AxisPart(None, rest), *axis[1:]) if rest else axis[1:]
