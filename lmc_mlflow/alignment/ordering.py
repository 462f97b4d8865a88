"""Orders in which a permutation of units puts the entries of a network's tensors."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lmc_mlflow.alignment.symmetry import Part, Parts, Permutations, Symmetry, check_permutations, check_state
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
            every = [_order(parts, permutations, symmetry.parents, {outer: i}) for i in range(symmetry.sizes[outer])]
            rows = torch.stack(every)[block_numbers(axes[holder], outer)]  # (places of the blocks, n)
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


def entry_order(parts: Parts, permutations: Permutations, parents: Mapping[str, str]) -> Tensor | None:
    """Give for each new entry of an axis the old one, int64 (n,) on the CPU; None where all stay."""
    if all(part.group is None for part in parts):
        return None
    return _order(parts, permutations, parents, {})


def _order(parts: Parts, permutations: Permutations, parents: Mapping[str, str], blocks: Mapping[str, int]) -> Tensor:
    """Order the entries of an axis that lie inside these new blocks: group -> number of the block."""
    orders, start = [], 0
    for part in parts:
        units = _unit_order(part, permutations, parents, blocks)
        inside = torch.arange(part.repeat)
        if part.inner and any(parents.get(group) == part.group for inner in part.inner for group in inner.groups()):
            each = [
                _order(part.inner, permutations, parents, {**blocks, str(part.group): i}) for i in range(part.size)
            ]
            inside = torch.stack(each)
        elif part.inner:
            inside = _order(part.inner, permutations, parents, blocks)
        orders.append((start + units[:, None] * part.repeat + inside).flatten())
        start += part.size * part.repeat
    return torch.cat(orders)


def _unit_order(
    part: Part, permutations: Permutations, parents: Mapping[str, str], blocks: Mapping[str, int]
) -> Tensor:
    if part.group is None:
        return torch.arange(part.size)
    order = permutations[part.group].cpu()
    return order if part.group not in parents else order[blocks[parents[part.group]]]
