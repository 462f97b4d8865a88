"""What is at stake for a group of units on one axis of one tensor: the products of A's units with B's."""

from collections.abc import Iterator

import torch
from torch import Tensor

from lmc_mlflow.alignment.symmetry import (
    Parts,
    Permutations,
    Symmetry,
    entries,
)


def stakes_of(symmetry: Symmetry, name: str, a: Tensor, b: Tensor) -> Iterator[tuple[str, "Stake"]]:
    """Every group that moves an axis of the tensor, with its stake there."""
    for axis, parts in enumerate(symmetry.axes[name]):
        for group in dict.fromkeys(part.group for part in parts if part.group is not None):
            yield group, Stake(symmetry, name, axis, group, (a, b))


class Stake:
    """A's and B's entries that a group moves on one axis, laid out so that their products are one matrix product.

    `mine` and `theirs` are (L, K, n): L entries of the other axes that are permuted too, K of all that stands
    still, n units. What the other groups' permutations change is the order of L alone, and once few of them
    change any more, only those entries' products are done again.
    """

    def __init__(self, symmetry: Symmetry, name: str, axis: int, group: str, ends: tuple[Tensor, Tensor]) -> None:
        self.name = name
        axes = symmetry.axes[name]
        others = [i for i, parts in enumerate(axes) if i != axis and any(part.group is not None for part in parts)]
        self.others = [axes[i] for i in others]
        order = [*others, *(i for i in range(len(axes)) if i != axis and i not in others), axis]
        self.mine, self.theirs = (_units(end.permute(order), axes[axis], group, len(others)) for end in ends)
        scale = self.mine.double().norm() * self.theirs.double().norm()
        self.rounding = torch.finfo(self.mine.dtype).eps * float(scale)
        self._order: Tensor | None = None
        self._worth = self.mine.new_zeros(())

    def depends_on(self) -> set[str]:
        """The groups whose permutations change what is at stake here."""
        return {part.group for parts in self.others for part in parts if part.group is not None}

    def worth(self, permutations: Permutations) -> Tensor:
        """(n, n): what unit i of A and unit j of B contribute if j takes i's place."""
        order = self._entries(permutations).to(self.theirs.device)
        if self._order is None or 2 * int((changed := order != self._order).sum()) > len(order):
            self._worth = _product(self.mine, self.theirs.index_select(0, order))
        elif changed.any():
            places = changed.nonzero().flatten()
            new, old = (self.theirs.index_select(0, entries[places]) for entries in (order, self._order))
            self._worth = self._worth + _product(self.mine.index_select(0, places), new - old)
        self._order = order
        return self._worth

    def _entries(self, permutations: Permutations) -> Tensor:
        order = torch.zeros(1, dtype=torch.int64)
        for parts in self.others:
            one = entries(parts, permutations)
            assert one is not None
            order = (order[:, None] * len(one) + one).flatten()
        return order


def _units(value: Tensor, parts: Parts, group: str, num_others: int) -> Tensor:
    """(others..., rest..., axis) -> (L, K, n) of the entries on the axis that the group moves."""
    num_entries = int(torch.tensor(value.shape[:num_others]).prod())
    value = value.reshape(num_entries, -1, value.shape[-1])
    found, start = [], 0
    for part in parts:
        end = start + part.size * part.repeat
        if part.group == group:
            here = value[:, :, start:end].reshape(num_entries, -1, part.size, part.repeat)
            found.append(here.transpose(2, 3).reshape(num_entries, -1, part.size))
        start = end
    return torch.cat(found, dim=1).contiguous()


def _product(mine: Tensor, theirs: Tensor) -> Tensor:
    return mine.flatten(0, 1).T @ theirs.flatten(0, 1)
