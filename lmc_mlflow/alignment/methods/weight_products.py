"""Cost matrices for matching one group of units along one tensor axis."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from lmc_mlflow.alignment.ordering import entry_orders, unit_entries
from lmc_mlflow.alignment.symmetry import Permutations, Symmetry


def cost_matrices(symmetry: Symmetry, name: str, a: Tensor, b: Tensor) -> Iterator[tuple[str, "CostMatrix"]]:
    """Yield every group that permutes an axis of the tensor, with its cost matrix there; blocks are left out."""
    blocks = {*symmetry.parents, *symmetry.parents.values()}
    for axis, parts in enumerate(symmetry.axes[name]):
        for group in dict.fromkeys(group for part in parts for group in part.groups() if group not in blocks):
            yield group, CostMatrix(symmetry, name, axis, group, (a, b))


class CostMatrix:
    """Inner products of A's units with B's along one axis of one tensor; the assignment maximizes their sum.

    `of_a` and `of_b` are (L, K, n): L entries of the other axes that are permuted too, K of all axes that are not,
    n units, so that the products are one matrix product. The other groups' permutations change the order of L
    alone, so only the products of entries that were reordered since the last call change. Where units lie inside
    others, or others inside them, the places of one unit on its axis belong to L.
    """

    def __init__(self, symmetry: Symmetry, name: str, axis: int, group: str, tensors: tuple[Tensor, Tensor]) -> None:
        self.symmetry, self.name, self.axis, self.group = symmetry, name, axis, group
        axes = symmetry.axes[name]
        self.others = [i for i, parts in enumerate(axes) if i != axis and any(part.groups() for part in parts)]
        self.entries = unit_entries(axes[axis], group)
        self.is_nested = any(group in part.groups() and part.groups() != [group] for part in axes[axis])
        order = [*self.others, *(i for i in range(len(axes)) if i != axis and i not in self.others), axis]
        self.of_a, self.of_b = (self._units(tensor.permute(order)) for tensor in tensors)
        scale = self.of_a.double().norm() * self.of_b.double().norm()
        self.rounding = torch.finfo(self.of_a.dtype).eps * float(scale)
        self._order: Tensor | None = None

    def _units(self, value: Tensor) -> Tensor:
        """(others..., rest..., axis) -> (L, K, n) of the entries on the axis that the group permutes."""
        num_entries = math.prod(value.shape[: len(self.others)])
        value = value.reshape(num_entries, -1, value.shape[-1])[:, :, self.entries]
        return value.transpose(1, 2).flatten(0, 1) if self.is_nested else value.flatten(1, 2)

    def depends_on(self) -> set[str]:
        """Name the groups whose permutations change this matrix."""
        axes = self.symmetry.axes[self.name]
        every = {group for i in self.others for part in axes[i] for group in part.groups()}
        return every | ({group for part in axes[self.axis] for group in part.groups()} if self.is_nested else set())

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
        """Give the old place of each new one of the L."""
        stays = torch.arange(self.symmetry.sizes[self.group])
        orders = entry_orders(self.symmetry, self.name, {**permutations, self.group: stays})
        places = [self.axis] if self.is_nested else []
        order = torch.zeros((1,) * (len(self.others) + len(places)), dtype=torch.int64)
        for i, dim in enumerate((*self.others, *places)):
            one = orders[dim]
            if dim == self.axis:  # units stay where they are inside, so the first of them says where a place was
                numbers = torch.empty(self._length(dim), dtype=torch.int64)
                numbers[self.entries[:, 0]] = torch.arange(len(self.entries))
                one = numbers[one[self.entries[:, 0]]]
            elif one.ndim > 1:
                one = one.index_select(self.axis, self.entries[:, 0]) if one.shape[self.axis] > 1 else one
                one = one.permute([*self.others, *(k for k in range(one.ndim) if k not in self.others)])
                one = one.reshape((*one.shape[: len(self.others)], -1) if places else one.shape[: len(self.others)])
            if one.ndim == 1:
                one = one.view([-1 if k == i else 1 for k in range(order.ndim)])
            size = len(self.entries) if dim == self.axis else self._length(dim)
            order = order * size + one
        return order.flatten()

    def _length(self, dim: int) -> int:
        return sum(part.size * part.repeat for part in self.symmetry.axes[self.name][dim])


def _product(of_a: Tensor, of_b: Tensor) -> Tensor:
    return of_a.flatten(0, 1).T @ of_b.flatten(0, 1)
