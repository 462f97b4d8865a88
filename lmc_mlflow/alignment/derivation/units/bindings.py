"""What took the place of each group of units, and on which outer units its permutation depends."""

from collections.abc import Sequence
from itertools import count

from lmc_mlflow.alignment.derivation.units.axes import (
    Axis,
    AxisPart,
    chain,
    frozen_axis,
    groups_of,
    join,
    nested_axis,
    units_axis,
)


class Bindings:
    """Groups of units, each free or bound to an axis that takes its place.

    A group has outer groups, its contexts: its permutation is another one for each unit of these (the units of a head
    are permuted head by head). Where such an outer unit is held apart from the others, by its number or because its
    group was cut, the group has a member there, a group of its own.
    """

    def __init__(self) -> None:
        self._bound: dict[int, Axis] = {}
        self._first: dict[int, Axis] = {}  # what a group was bound to at first, before that was bound itself
        self._contexts: dict[int, tuple[int, ...]] = {}
        self._sizes: dict[int, int] = {}
        self._members: dict[int, dict[tuple[int, int], tuple[int, tuple[int, ...]]]] = {}
        self._bent: set[int] = set()
        self._numbers = count()

    @property
    def num_bound(self) -> int:
        """Count the groups that are not free any more."""
        return len(self._bound)

    def new_axis(self, size: int, contexts: tuple[int, ...] = ()) -> Axis:
        """Make an axis of `size` units that may be permuted in any way, in each unit of the contexts in another."""
        if size == 1:
            return frozen_axis(1)
        group = next(self._numbers)
        self._sizes[group], self._contexts[group] = size, contexts
        return (AxisPart(group, size),)

    def new_layout(self, shape: Sequence[int]) -> tuple[Axis, ...]:
        """Make the axes of a tensor of which nothing is known: each is free, in each place of those before it.

        Only the entries of a head or of an expert need this: rules let other axes depend on nothing.
        """
        layout: list[Axis] = []
        outer: tuple[int, ...] = ()
        for size in shape:
            layout.append(self.new_axis(size, outer))
            outer += tuple(part.group for part in layout[-1] if part.group is not None)
        return tuple(layout)

    def resolve(self, axis: Axis) -> Axis:
        """Write the same axis with groups that are free."""
        if all(part.group is not None and not part.inner and part.group not in self._bound for part in axis):
            return axis
        return join(piece for part in axis for piece in self._resolve_part(part))

    def _resolve_part(self, part: AxisPart) -> Axis:
        inner = self.resolve(part.inner) if part.inner else ()
        if part.group is None or part.group not in self._bound:
            return units_axis(part.group, part.size, inner)
        if any(part.group in self.contexts(group) for group in groups_of(inner)):
            return self._placed(self._first[part.group], inner, part.group, 0, ())
        bound = self._bound[part.group] = self.resolve(self._bound[part.group])
        return nested_axis(bound, inner) if inner else bound

    def bend(self, axis: Axis) -> None:
        """Let the units on an axis be permuted alone, and not be mixed, from now on."""
        for group in groups_of(self.resolve(axis)) - self._bent:
            self._bent.add(group)
            for member, _ in self._members.get(group, {}).values():
                self.bend((AxisPart(member, self._sizes[group]),))

    def is_bent(self, group: int) -> bool:
        """Say whether the units of a free group may only be permuted, not mixed."""
        return group in self._bent

    def contexts(self, group: int) -> tuple[int, ...]:
        """List the outer groups on whose units the permutation of a free group depends.

        One that was replaced by groups side by side, or frozen, is still named itself.
        """
        found: list[int] = []
        for outer in self._contexts[group]:
            names, whole = chain(self.resolve((AxisPart(outer, self._sizes[outer]),)))
            found += names if whole else [*names, outer]
        return tuple(dict.fromkeys(found))

    def is_replaced(self, group: int) -> bool:
        """Say whether another axis took the place of a group."""
        return group in self._bound

    def member(self, axis: Axis, outer: int, unit: int, stack: tuple[int, ...] = ()) -> Axis:
        """Write an axis as it is inside one unit of an outer group, whose units are held apart.

        Args:
            axis: whatever depends on the outer group.
            outer: the group, which is cut or frozen.
            unit: where the unit, or the piece of several units, begins.
            stack: groups that take the place of the outer group there.
        """
        made: list[AxisPart] = []
        for part in self.resolve(axis):
            inner = self.member(part.inner, outer, unit, stack) if part.inner else ()
            group = part.group
            if group is not None and outer in self.contexts(group):
                group = self._member(group, outer, unit, stack)
            made += units_axis(group, part.size, inner)
        return self.resolve(tuple(made))

    def _member(self, group: int, outer: int, unit: int, stack: tuple[int, ...]) -> int:
        members = self._members.setdefault(group, {})
        if (outer, unit) not in members:
            contexts: list[int] = []
            for context in self.contexts(group):
                if context == outer:
                    contexts += stack
                elif outer in self.contexts(context):
                    contexts.append(self._member(context, outer, unit, stack))
                else:
                    contexts.append(context)
            (part,) = self.new_axis(self._sizes[group], tuple(contexts))
            assert part.group is not None
            members[outer, unit] = part.group, stack
            if group in self._bent:
                self._bent.add(part.group)
        return members[outer, unit][0]

    def _placed(self, axis: Axis, inner: Axis, outer: int, unit: int, stack: tuple[int, ...]) -> Axis:
        """Put `inner` inside every entry of what a group was bound to; in each entry that stays it is another."""
        made: list[AxisPart] = []
        for part in axis:
            if part.group is not None:
                here = (*stack, part.group)
                inside = (
                    self._placed(part.inner, inner, outer, unit, here)
                    if part.inner
                    else self.member(inner, outer, unit, here)
                )
                made += units_axis(part.group, part.size, inside)
            else:
                for i in range(part.size):
                    at = unit + i * part.repeat
                    made += (
                        self._placed(part.inner, inner, outer, at, stack)
                        if part.inner
                        else self.member(inner, outer, at, stack)
                    )
            unit += part.length
        return self.resolve(tuple(made))
