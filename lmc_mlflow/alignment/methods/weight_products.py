"""Cost matrices for matching one group of units along one tensor axis."""

from collections.abc import Iterator

import torch
from torch import Tensor

from lmc_mlflow.alignment.ordering import entry_order
from lmc_mlflow.alignment.symmetry import (
    Parts,
    Permutations,
    Symmetry,
)


def cost_matrices(symmetry: Symmetry, name: str, a: Tensor, b: Tensor) -> Iterator[tuple[str, "CostMatrix"]]:
    """Yield every group that permutes an axis of the tensor, with its cost matrix there."""
    for axis, parts in enumerate(symmetry.axes[name]):
        for group in dict.fromkeys(part.group for part in parts if part.group is not None):
            yield group, CostMatrix(symmetry, name, axis, group, (a, b))


class CostMatrix:
    """Inner products of A's units with B's along one axis of one tensor; the assignment maximizes their sum.

    `of_a` and `of_b` are (L, K, n): L entries of the other axes that are permuted too, K of all axes that are not,
    n units, so that the products are one matrix product. The other groups' permutations change the order of L
    alone, so only the products of entries that were reordered since the last call change.
    """

    def __init__(self, symmetry: Symmetry, name: str, axis: int, group: str, tensors: tuple[Tensor, Tensor]) -> None:
        self.name = name
        axes = symmetry.axes[name]
        others = [i for i, parts in enumerate(axes) if i != axis and any(part.group is not None for part in parts)]
        self.others = [axes[i] for i in others]
        order = [*others, *(i for i in range(len(axes)) if i != axis and i not in others), axis]
        self.of_a, self.of_b = (_units(tensor.permute(order), axes[axis], group, len(others)) for tensor in tensors)
        scale = self.of_a.double().norm() * self.of_b.double().norm()
        self.rounding = torch.finfo(self.of_a.dtype).eps * float(scale)
        self._order: Tensor | None = None

    def depends_on(self) -> set[str]:
        """Name the groups whose permutations change this matrix."""
        return {part.group for parts in self.others for part in parts if part.group is not None}

    def products(self, permutations: Permutations) -> Tensor:
        """Give the matrix (n, n): what the objective gains from B's unit j in the place of A's unit i."""
        order = self._order_of_others(permutations).to(self.of_b.device)
        return _product(self.of_a, self.of_b.index_select(0, order))

    def change(self, permutations: Permutations) -> Tensor | None:
        """Give what was added to the matrix (n, n) since the last call (at first: all of it); None for nothing."""
        old, self._order = self._order, self._order_of_others(permutations).to(self.of_b.device)
        if old is None:
            return _product(self.of_a, self.of_b.index_select(0, self._order))
        rows = (self._order != old).nonzero().flatten()
        if not len(rows):
            return None
        after, before = (self.of_b.index_select(0, order[rows]) for order in (self._order, old))
        return _product(self.of_a.index_select(0, rows), after - before)

    def _order_of_others(self, permutations: Permutations) -> Tensor:
        order = torch.zeros(1, dtype=torch.int64)
        for parts in self.others:
            one = entry_order(parts, permutations, self.symmetry.parents)
            assert one is not None
            order = (order[:, None] * len(one) + one).flatten()
        return order


def _units(value: Tensor, parts: Parts, group: str, num_others: int) -> Tensor:
    """(others..., rest..., axis) -> (L, K, n) of the entries on the axis that the group permutes."""
    num_entries = int(torch.tensor(value.shape[:num_others]).prod())
    value = value.reshape(num_entries, -1, value.shape[-1])
    pieces, start = [], 0
    for part in parts:
        end = start + part.size * part.repeat
        if part.group == group:
            here = value[:, :, start:end].reshape(num_entries, -1, part.size, part.repeat)
            pieces.append(here.transpose(2, 3).reshape(num_entries, -1, part.size))
        start = end
    return torch.cat(pieces, dim=1).contiguous()


def _product(of_a: Tensor, of_b: Tensor) -> Tensor:
    return of_a.flatten(0, 1).T @ of_b.flatten(0, 1)
