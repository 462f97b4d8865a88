"""Finds the axes on which the outer units of a group lie, and ties the axes of several tensors."""

from collections.abc import Hashable, Sequence

from lmc_mlflow.alignment.derivation.operation import Layout
from lmc_mlflow.alignment.derivation.units.axes import Axis, covering, frozen_axis, groups_of, length
from lmc_mlflow.alignment.derivation.units.groups import Groups

INSIDE = "inside"
"""In place of the number of an axis: the outer unit is that inside which the group lies."""


def settle(groups: Groups, layout: Layout) -> Layout:
    """Resolve a layout; groups whose outer units the tensor does not show, or shows twice, depend on them no more.

    Without this rule the entries of the tensor would not be determined by the permutations. An axis whose units were
    frozen stays as it was written where another axis depends on these units.
    """
    while True:
        resolved = tuple(groups.resolve(axis) for axis in layout)
        held: set[int | str | None] = set()
        changed = False
        for i in range(len(layout)):
            for group, place in placed_contexts(groups, resolved, i, layout).items():
                if groups.is_replaced(group):
                    changed = True
                    continue
                missing = [outer for outer, where in place.items() if where is None]
                held |= {where for outer, where in place.items() if groups.is_replaced(outer)}
                if missing:
                    groups.reduce(group, tuple(outer for outer in place if outer not in missing))
                    changed = True
        if not changed:
            return tuple(layout[i] if i in held else axis for i, axis in enumerate(resolved))


Places = dict[int, "int | str | None"]
"""Outer group -> the number of the axis on which it lies, INSIDE, or None where that is not clear."""


def placed_contexts(groups: Groups, layout: Layout, dim: int, written: Layout | None = None) -> dict[int, Places]:
    """Find, for each group on one axis of a resolved layout that has outer groups, where these lie.

    Args:
        groups: of the derivation.
        layout: resolved.
        dim: the axis.
        written: the layout as it was before groups were replaced; None where that is not known.
    """
    found: dict[int, Places] = {}

    def visit(axis: Axis, stack: tuple[int, ...]) -> None:
        for part in axis:
            if part.group is None:
                visit(part.inner, stack)
                continue
            contexts = groups.contexts(part.group)
            if contexts:
                place = {outer: _place(groups, layout, dim, outer, stack, written) for outer in contexts}
                known = found.setdefault(part.group, place)
                found[part.group] = {outer: at if known[outer] == at else None for outer, at in place.items()}
            visit(part.inner, (*stack, part.group))

    visit(layout[dim], ())
    return found


def _place(
    groups: Groups, layout: Layout, dim: int, outer: int, stack: tuple[int, ...], written: Layout | None
) -> int | str | None:
    if groups.is_replaced(outer):
        where = [i for i, axis in enumerate(written or ()) if i != dim and [p.group for p in axis] == [outer]]
        return where[0] if len(where) == 1 and written and not written[where[0]][0].inner else None
    holders = [i for i, axis in enumerate(layout) if i != dim and outer in groups_of(axis)]
    if outer in stack:
        return None if holders else INSIDE
    if len(holders) == 1 and outer in covering(layout[holders[0]]) and outer not in groups_of(layout[dim]):
        return holders[0]
    return None


def tie(
    groups: Groups, operands: Sequence[tuple[Layout, Sequence[Hashable]]], out: Sequence[Hashable] | None = None
) -> Layout:
    """Tie the axes of several tensors that have the same letter, as in Einstein's sums; gives the axes of the output.

    An axis of one entry is tied to nothing where another tensor has the letter at full size.

    Args:
        groups: changed in place.
        operands: layouts, and a letter for each of their axes.
        out: letters of the output; None for those of the first tensor.
    """
    axes: dict[Hashable, list[tuple[int, int]]] = {}
    for i, (_, letters) in enumerate(operands):
        for dim, letter in enumerate(letters):
            axes.setdefault(letter, []).append((i, dim))
    for letter, places in axes.items():
        full = max(length(operands[i][0][dim]) for i, dim in places)
        axes[letter] = [(i, dim) for i, dim in places if length(operands[i][0][dim]) == full]

    def depth(letter: Hashable) -> int:
        outermost = (part.group for i, dim in axes[letter] for part in groups.resolve(operands[i][0][dim]))
        return max((len(groups.contexts(group)) for group in outermost if group is not None), default=0)

    for letter in sorted(axes, key=depth):
        (first, dim), *others = axes[letter]
        for i, other in others:
            groups.unify(operands[first][0][dim], operands[i][0][other])
    _compare_places(groups, operands, axes)
    letters = operands[0][1] if out is None else out
    return tuple(
        groups.resolve(operands[axes[letter][0][0]][0][axes[letter][0][1]]) if letter in axes else frozen_axis(1)
        for letter in letters
    )


def _compare_places(
    groups: Groups,
    operands: Sequence[tuple[Layout, Sequence[Hashable]]],
    axes: dict[Hashable, list[tuple[int, int]]],
) -> None:
    """Let tied groups depend on an outer group no more if its units lie on axes that are not tied."""
    layouts = [tuple(groups.resolve(axis) for axis in layout) for layout, _ in operands]
    for places in axes.values():
        if len(places) < 2:
            continue
        seen: dict[int, dict[int, set[Hashable]]] = {}
        for i, dim in places:
            for group, place in placed_contexts(groups, layouts[i], dim).items():
                for outer, where in place.items():
                    letter = operands[i][1][where] if isinstance(where, int) else where
                    seen.setdefault(group, {}).setdefault(outer, set()).add(letter)
        for group, of_group in seen.items():
            keep = tuple(outer for outer, letters in of_group.items() if len(letters) == 1 and None not in letters)
            if len(keep) < len(of_group) and not groups.is_replaced(group):
                groups.reduce(group, keep)
