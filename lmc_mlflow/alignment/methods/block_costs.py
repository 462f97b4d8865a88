"""Weights that decide how blocks, and the units inside them, are matched, given all other groups."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from lmc_mlflow.alignment.methods.blocks import assign_blocks, block_pieces
from lmc_mlflow.alignment.symmetry import Permutations, Symmetry


class BlockCosts:
    """The tensors in which the blocks of one group lie."""

    def __init__(self, symmetry: Symmetry, group: str, a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> None:
        self.symmetry, self.group, self.a, self.b = symmetry, group, a, b
        self.names = [name for name in dict.fromkeys(name for name, _ in symmetry.tensors(group)) if name in a]
        self.insides = {inside: symmetry.sizes[inside] for inside in symmetry.insides(group)}
        norms = (float(a[name].double().norm() * b[name].double().norm()) for name in self.names)
        self.rounding = sum(torch.finfo(a[name].dtype).eps * n for name, n in zip(self.names, norms, strict=True))

    def depends_on(self, name: str | None = None) -> set[str]:
        """Name the groups that lie in the tensors of the blocks, or in one of them, insides by their blocks."""
        axes = [parts for each in ([name] if name else self.names) for parts in self.symmetry.axes[each]]
        groups = {group for parts in axes for part in parts for group in part.groups()}
        return {self.symmetry.parents.get(group, group) for group in groups} - {self.group}

    def best(self, permutations: Permutations, matched: Collection[str] | None = None) -> dict[str, Tensor]:
        """Find the permutations of the blocks and of the units inside that suit all others best.

        Args:
            permutations: of all groups.
            matched: groups that say something; tensors with other groups are left out. None for all groups.
        """
        names = [name for name in self.names if matched is None or self.depends_on(name) <= set(matched)]
        own = {group: permutations[group] for group in (self.group, *self.insides)}
        if not names:
            return own
        pieces = [
            piece
            for name in names
            for piece in block_pieces(self.symmetry, self.group, name, (self.a[name], self.b[name]), permutations)
        ]
        current = (own.pop(self.group), own)
        blocks, insides = assign_blocks(pieces, self.symmetry.sizes[self.group], self.insides, current)
        return {self.group: blocks, **insides}
