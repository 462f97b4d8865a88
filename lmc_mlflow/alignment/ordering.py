"""Orders in which a permutation of units puts the entries of a network's tensors."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lmc_mlflow.alignment.symmetry import Parts, Permutations, Symmetry, check_permutations, check_state
from lmc_mlflow.weights import State


def permute(symmetry: Symmetry, state: State, permutations: Permutations) -> dict[str, Tensor]:
    """Give the state of the same function with its units in another order; every tensor is a new one.

    Raises:
        ValueError: the state or the permutations do not belong to this symmetry.
    """
    check_state(symmetry, state)
    check_permutations(symmetry, permutations)
    return {name: permuted_tensor(symmetry, name, state[name], permutations).clone() for name in state}


def permuted_tensor(symmetry: Symmetry, name: str, value: Tensor, permutations: Permutations) -> Tensor:
    """Permute one tensor of the state along all its axes."""
    for dim, order in entry_orders(symmetry, name, permutations).items():
        if order.ndim == 1:
            value = value.index_select(dim, order.to(value.device))
        else:
            value = torch.take_along_dim(value, order.to(value.device), dim)
    return value


def entry_orders(symmetry: Symmetry, name: str, permutations: Permutations) -> dict[int, Tensor]:
    """Give for each new entry of the axes of a tensor the old one, int64 on the CPU.

    Returns:
        axis -> (n,); of an axis whose order is another one at each place of another axis, a tensor of the tensor's
        number of dimensions, n and the length of the other axis in these two. They are applied one after the other.
        Axes that stay as they are are left out.
    """
    axes = symmetry.axes[name]
    orders: dict[int, Tensor] = {}
    dependent: dict[int, Tensor] = {}
    for dim, parts in enumerate(axes):
        outer = outer_elsewhere(symmetry, parts)
        if outer is None:
            order = entry_order(parts, permutations, symmetry.parents)
            if order is not None:
                orders[dim] = order
        else:
            holder = next(i for i, other in enumerate(axes) if any(outer in part.groups() for part in other))
            every = _orders(parts, permutations, symmetry.parents, outer)
            rows = every[block_numbers(axes[holder], outer)]  # (places of the blocks, n)
            shape = [1] * len(axes)
            shape[holder], shape[dim] = rows.shape
            dependent[dim] = (rows if holder < dim else rows.T).reshape(shape)
    return orders | dependent


def outer_elsewhere(symmetry: Symmetry, parts: Parts) -> str | None:
    """Name the group of blocks that lie on another axis than the units inside them, which lie on this one."""
    if not symmetry.parents:
        return None

    def find(here: Parts, above: tuple[str, ...]) -> str | None:
        for part in here:
            outer = None if part.group is None else symmetry.parents.get(part.group)
            if outer is not None and outer not in above:
                return outer
            found = find(part.inner, above if part.group is None else (*above, part.group))
            if found is not None:
                return found
        return None

    return find(parts, ())


def block_numbers(parts: Parts, outer: str) -> Tensor:
    """Give for each entry of an axis the number of the block of a group to which it belongs, int64 (n,)."""
    numbers = []
    for part in parts:
        if part.group == outer:
            numbers.append(torch.arange(part.size).repeat_interleave(part.repeat))
        else:
            numbers.append(block_numbers(part.inner, outer).repeat(part.size))
    return torch.cat(numbers)


def unit_entries(parts: Parts, group: str) -> Tensor:
    """Give the entries of an axis that belong to each unit of a group, int64 (places, n)."""
    found: list[Tensor] = []
    start = 0
    for part in parts:
        if part.group == group:
            found.append(start + torch.arange(part.size * part.repeat).view(part.size, part.repeat).T)
        elif group in part.groups():
            inside = unit_entries(part.inner, group)
            offsets = start + part.repeat * torch.arange(part.size)[:, None, None]
            found.append((inside + offsets).flatten(0, 1))
        start += part.size * part.repeat
    return torch.cat(found)


def entry_order(parts: Parts, permutations: Permutations, parents: Mapping[str, str]) -> Tensor | None:
    """Give for each new entry of an axis the old one, int64 (n,) on the CPU; None where all stay."""
    if all(part.group is None for part in parts):
        return None
    return _orders(parts, permutations, parents, None)[0]


def _orders(parts: Parts, permutations: Permutations, parents: Mapping[str, str], outer: str | None) -> Tensor:
    """Order the entries of an axis inside every new block of a group (blocks, n); (1, n) where all have one order."""
    orders: list[Tensor] = []
    start = 0
    for part in parts:
        units = torch.arange(part.size)[None] if part.group is None else permutations[part.group].cpu()
        if part.group is not None and part.group not in parents:
            units = units[None]
        assert part.group is None or parents.get(part.group, outer) == outer, "units inside blocks lie directly inside"
        holds = any(parents.get(group) == part.group for inner in part.inner for group in inner.groups())
        if not part.inner:
            inside = torch.arange(part.repeat)[None, None]
        elif part.group is not None and holds:
            inside = _orders(part.inner, permutations, parents, part.group)[None]  # one order in each of its units
        else:
            inside = _orders(part.inner, permutations, parents, outer)[:, None]
        orders.append((start + units[:, :, None] * part.repeat + inside).flatten(1))
        start += part.size * part.repeat
    most = max(len(order) for order in orders)
    return torch.cat([order.expand(most, -1) for order in orders], dim=1)
