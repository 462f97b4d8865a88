"""Union-find over the groups of units that must be permuted alike."""

from lmc_mlflow.alignment.derivation.units.axes import (
    Axis,
    AxisPart,
    frozen_axis,
    groups_of,
    length,
    nested_axis,
    units_axis,
    without,
)
from lmc_mlflow.alignment.derivation.units.bindings import Bindings


class Groups(Bindings):
    """Union-find over groups of units, in which a group may also be replaced by several others.

    A group is free, or bound to an axis that takes its place: another group (both are permuted alike), several
    groups side by side (the units of a concatenation), blocks with a group of units inside each, or a frozen axis.
    Binding only removes freedom, so a rule that was correct for the free group stays correct.
    """

    def freeze(self, axis: Axis) -> Axis:
        """Let nothing on this axis move from now on; returns the frozen axis."""
        for group in groups_of(self.resolve(axis)):
            if group not in self._bound:
                self._bind(group, frozen_axis(self._sizes[group]))
        return frozen_axis(length(axis))

    def reduce(self, group: int, keep: tuple[int, ...] = ()) -> None:
        """Let a free group depend on none but these of its contexts from now on."""
        kept: list[int] = []
        for outer in self.contexts(group):
            if outer in keep and outer != group and set(self.contexts(outer)) <= set(kept):
                kept.append(outer)
        reduced = self.new_axis(self._sizes[group], tuple(kept))
        self._bind(group, reduced)

    def unify(self, one: Axis, other: Axis) -> Axis:
        """Move entry i of both axes alike from now on; only permutations that both allowed remain allowed."""
        assert length(one) == length(other), (one, other)
        left, right = self.resolve(one), self.resolve(other)
        while left:
            first, second = left[0], right[0]
            if first == second:
                left, right = left[1:], right[1:]
            elif first.is_frozen and second.is_frozen:
                shared = min(first.length, second.length)
                left, right = without(left, shared), without(right, shared)
            elif first.length != second.length:
                at = min(first.length, second.length)
                pieces = [
                    (*self.cut((part,), at)[0], *self.cut((part,), at)[1], *rest) if part.length > at else (part, *rest)
                    for part, *rest in (left, right)
                ]
                left, right = self.resolve(pieces[0]), self.resolve(pieces[1])
            else:
                replaced = self._reconcile(first, second)
                left, right = self.resolve((*replaced[0], *left[1:])), self.resolve((*replaced[1], *right[1:]))
        return self.resolve(one)

    def _reconcile(self, first: AxisPart, second: AxisPart) -> tuple[Axis, Axis]:
        """Bring two different parts of one length a step closer to each other; gives what takes their places."""
        fine, coarse = sorted((first, second), key=lambda part: part.repeat)
        if first.is_frozen or second.is_frozen:
            self.freeze((first, second))
        elif first.size == second.size:
            if first.group == second.group:
                self.unify(first.inner, second.inner)
            else:
                self._tie(first, second)
        elif not fine.inner and fine.group is not None:
            if coarse.group is None or self._have_same_contexts(fine.group, coarse.group):
                self._bind(fine.group, (coarse,))
        elif fine.size % coarse.size:
            self.freeze((first, second))
        elif fine.group is None:
            blocks = (AxisPart(None, coarse.size, (AxisPart(None, fine.size // coarse.size, fine.inner),)),)
            return (blocks, (second,)) if fine is first else ((first,), blocks)
        else:
            self._bind(fine.group, self._new_blocks(fine, coarse.size))
        return (first,), (second,)

    def _tie(self, first: AxisPart, second: AxisPart) -> None:
        """Tie the groups of two parts of as many units, whatever lies inside."""
        one, other = first.group, second.group
        if one is None or other is None:
            self.freeze(tuple(AxisPart(part.group, part.size) for part in (first, second)))
        elif self._have_same_contexts(one, other):
            self._bind(other, (AxisPart(one, first.size),))

    def _have_same_contexts(self, one: int, other: int) -> bool:
        """Say whether two groups depend on the same; if not, they depend on what both depend on from now on."""
        of_one, of_other = self.contexts(one), self.contexts(other)
        if set(of_one) == set(of_other):
            return True
        for group, of_group, keep in ((one, of_one, of_other), (other, of_other, of_one)):
            if not set(of_group) <= set(keep) and not self.is_replaced(group):
                self.reduce(group, keep)
        return False

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
                whole = at // part.repeat
                taken = units_axis(None, whole, part.inner) if whole else ()
                one = part.inner if at % part.repeat else ()  # the unit that the cut goes through
                rest = part.size - whole - (1 if one else 0)
                left += taken
                right = (*one, *(units_axis(None, rest, part.inner) if rest else ()), *right[1:])
                at -= length(taken)
            else:
                if at % part.repeat:
                    self.freeze((AxisPart(part.group, part.size),))
                else:
                    self._split(part.group, at // part.repeat)
                right = self.resolve(right)
        return self.resolve(tuple(left)), right

    def _split(self, group: int, first: int) -> None:
        contexts, size = self.contexts(group), self._sizes[group]
        self._bind(group, (*self.new_axis(first, contexts), *self.new_axis(size - first, contexts)))

    def blocks(self, axis: Axis, num_blocks: int) -> Axis:
        """Move the axis in whole blocks from now on, and units inside each; returns the axis of the blocks."""
        size = length(axis)
        if num_blocks == 1:
            return frozen_axis(1)
        blocks = self._new_blocks(AxisPart(None, size), num_blocks)
        self.unify(blocks, axis)
        return self.resolve((AxisPart(blocks[0].group, num_blocks),))

    def _new_blocks(self, part: AxisPart, num_blocks: int) -> Axis:
        """Make an axis of blocks of units, as long as the units of a part, with the contexts of the part."""
        contexts = () if part.group is None else self.contexts(part.group)
        blocks = self.new_axis(num_blocks, contexts)
        outer = () if blocks[0].group is None else (blocks[0].group,)
        return nested_axis(blocks, self.new_axis(part.size // num_blocks, (*contexts, *outer)))

    def divide(self, part: AxisPart, num_blocks: int) -> None:
        """Let the units of a part move in so many blocks, and inside each of them, from now on."""
        assert part.group is not None
        self._bind(part.group, self._new_blocks(part, num_blocks))

    def _bind(self, group: int, axis: Axis) -> None:
        self._bound[group] = self._first[group] = axis
        if group in self._bent:
            self.bend(axis)
        for (outer, unit), (member, stack) in self._members.pop(group, {}).items():
            self.unify((AxisPart(member, self._sizes[group]),), self.member(axis, outer, unit, stack))
