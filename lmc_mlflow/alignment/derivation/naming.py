"""Names the groups of units that were derived, and writes the symmetry in these names."""

from collections.abc import Iterator, Mapping

from lmc_mlflow.alignment.derivation.held import HeldChannels
from lmc_mlflow.alignment.derivation.operation import Layout
from lmc_mlflow.alignment.derivation.units.axes import Axis, is_frozen
from lmc_mlflow.alignment.derivation.units.contexts import settle
from lmc_mlflow.alignment.derivation.units.groups import Groups
from lmc_mlflow.alignment.symmetry import Part, Parts, Symmetry

INSIDE = ".inside"
"""Ends the name of a group of units that lie inside blocks; the name of the blocks stands before it."""


def name_groups(
    groups: Groups, tensors: Mapping[str, Layout], outputs: Mapping[str, Layout], held: HeldChannels
) -> Symmetry:
    """Name each group after the first layer that makes its units (`[0]`, `[1]`, ... where a layer makes several).

    Units inside blocks have the name of the blocks, followed by `.inside`.
    """
    _settle_all(groups, [*tensors.values(), *outputs.values()])
    names: dict[int, str] = {}
    sizes: dict[str, int] = {}
    parents: dict[str, str] = {}
    for tensor, axis in _axes_in_order(tensors):
        layer = tensor.rpartition(".")[0] or tensor
        new = {group: size for group, size in _sizes(groups.resolve(axis)) if group not in names}
        new = {group: size for group, size in new.items() if not groups.contexts(group)}
        _add_names(layer, new, names, sizes)
    for _, axis in _axes_in_order(tensors):
        inside: dict[int, dict[int, int]] = {}
        for group, size in _sizes(groups.resolve(axis)):
            if group not in names:
                inside.setdefault(groups.contexts(group)[0], {})[group] = size
        for outer, new in inside.items():
            _add_names(names[outer] + INSIDE, new, names, sizes)
            parents |= {names[group]: names[outer] for group in new}
    return Symmetry(
        sizes,
        {name: tuple(_parts(groups.resolve(axis), names) for axis in layout) for name, layout in tensors.items()},
        {name: tuple(_parts(groups.resolve(axis), names) for axis in of) for name, of in outputs.items() if name},
        parents,
        channels=held.channels(),
        mixable=_mixable(groups, tensors, {group: name for group, name in names.items() if name in parents}),
    )


def _mixable(groups: Groups, tensors: Mapping[str, Layout], inside: Mapping[int, str]) -> frozenset[str]:
    """Name the groups inside blocks that meet linear operations alone and fill their blocks in every tensor."""
    partly: set[int] = set()
    for _, axis in _axes_in_order(tensors):
        for part in groups.resolve(axis):
            fills = len(part.inner) == 1 and part.inner[0].group is not None and not part.inner[0].inner
            partly |= part.groups - ({part.inner[0].group} if fills and part.group is not None else set())
    return frozenset(name for group, name in inside.items() if group not in partly and not groups.is_bent(group))


def _settle_all(groups: Groups, layouts: list[Layout]) -> None:
    """Let every group depend on one outer group at most, which every tensor with the group shows."""
    for layout in layouts:
        for axis in layout:
            for group, _ in _sizes(groups.resolve(axis)):
                contexts = groups.contexts(group)
                if len(contexts) > 1 and not groups.is_replaced(group):
                    groups.reduce(group, contexts[:1])
    while True:
        before = [tuple(groups.resolve(axis) for axis in layout) for layout in layouts]
        for layout in before:
            settle(groups, layout)
        if before == [tuple(groups.resolve(axis) for axis in layout) for layout in layouts]:
            return


def _axes_in_order(tensors: Mapping[str, Layout]) -> Iterator[tuple[str, Axis]]:
    """Yield the first axis of every tensor, then the second of every one, and so on."""
    for depth in range(max((len(layout) for layout in tensors.values()), default=0)):
        for tensor, layout in tensors.items():
            if len(layout) > depth:
                yield tensor, layout[depth]


def _sizes(axis: Axis) -> Iterator[tuple[int, int]]:
    """Yield the groups on a resolved axis and their sizes, outer ones first."""
    for part in axis:
        if part.group is not None:
            yield part.group, part.size
        yield from _sizes(part.inner)


def _add_names(layer: str, new: Mapping[int, int], names: dict[int, str], sizes: dict[str, int]) -> None:
    for i, (group, size) in enumerate(new.items()):
        name = f"{layer}[{i}]" if len(new) > 1 else layer
        while name in sizes:
            name = f"{name}'"
        names[group], sizes[name] = name, size


def _parts(axis: Axis, names: Mapping[int, str]) -> Parts:
    parts: list[Part] = []
    for part in axis:
        if part.group is None and part.is_frozen:
            parts.append(Part(None, part.length))
        elif part.group is None:
            parts += _parts(part.inner, names) * part.size
        else:
            inner = () if is_frozen(part.inner) else _parts(part.inner, names)
            parts.append(Part(names.get(part.group), part.size, part.repeat, inner))  # outputs may show others
    return tuple(parts)
