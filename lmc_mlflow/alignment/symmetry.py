"""Permutation symmetries of a network: which units may be exchanged, and how that permutes its tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lmc_mlflow.weights import State


@dataclass(frozen=True)
class Part:
    """A part of an axis: `size` units of `repeat` consecutive entries each.

    A group of None is frozen: its units stay where they are.
    """

    group: str | None
    size: int
    repeat: int = 1


Parts = tuple[Part, ...]


@dataclass(frozen=True)
class Channels:
    """The hidden channels that a layer makes: how many, and how many of them may move."""

    total: int
    free: int
    reasons: tuple[str, ...] = ()
    """What holds the others still, in the order of the network: an operation and the module that it is in."""


@dataclass(frozen=True)
class Symmetry:
    """The permutations of a network's units that leave its function as it is (P-01: P_i W_i P_{i-1}^T, P_i b_i)."""

    sizes: Mapping[str, int]
    """Group of units that are permuted alike -> number of units; called after the layer that makes them."""
    axes: Mapping[str, tuple[Parts, ...]]
    """Tensor of the state dict -> what stands along each of its axes."""
    outputs: Mapping[str, tuple[Parts, ...]]
    """Module with parameters -> what stands along each axis of its output (batch first)."""
    channels: Mapping[str, Channels] = field(default_factory=dict)
    """Layer with a matrix or a kernel -> its hidden channels; what is the network's output is left out."""

    @property
    def share_free(self) -> float:
        """Give the share of hidden channels that may move, over all layers; 0 where there are none."""
        total = sum(layer.total for layer in self.channels.values())
        return sum(layer.free for layer in self.channels.values()) / total if total else 0.0

    @property
    def held(self) -> dict[str, Channels]:
        """List the layers of whose channels some are held still."""
        return {name: layer for name, layer in self.channels.items() if layer.free < layer.total}

    def tensors(self, group: str) -> list[tuple[str, int]]:
        """List the tensors that a permutation of this group changes, and along which axis."""
        return [
            (name, i)
            for name, axes in self.axes.items()
            for i, parts in enumerate(axes)
            if any(part.group == group for part in parts)
        ]


Permutations = Mapping[str, Tensor]
"""Group -> int64 (n,): new unit i is old unit `permutation[i]`."""


def identity_permutations(symmetry: Symmetry) -> dict[str, Tensor]:
    """Make the permutations that leave every unit where it is: group -> int64 (n,)."""
    return {group: torch.arange(size) for group, size in symmetry.sizes.items()}


def random_permutations(symmetry: Symmetry, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw a uniform permutation for each group, one after the other: group -> int64 (n,)."""
    return {group: torch.randperm(size, generator=generator) for group, size in symmetry.sizes.items()}


def inverse(permutations: Permutations) -> dict[str, Tensor]:
    """Invert permutations."""
    return {group: torch.argsort(permutation) for group, permutation in permutations.items()}


def compose(first: Permutations, second: Permutations) -> dict[str, Tensor]:
    """Combine two permutations: by `first`, and the result by `second`."""
    return {group: first[group][second[group]] for group in first}


def units_moved(permutations: Permutations) -> float:
    """Give the fraction of units, over all groups, that a permutation moves."""
    total = sum(len(permutation) for permutation in permutations.values())
    moved = sum(int((p.cpu() != torch.arange(len(p))).sum()) for p in permutations.values())
    return moved / total if total else 0.0


def entry_order(parts: Parts, permutations: Permutations) -> Tensor | None:
    """Give for each new entry of an axis the old one, int64 on the CPU; None where all stay."""
    if all(part.group is None for part in parts):
        return None
    orders, start = [], 0
    for part in parts:
        order = torch.arange(part.size) if part.group is None else permutations[part.group].cpu()
        orders.append((start + order[:, None] * part.repeat + torch.arange(part.repeat)).flatten())
        start += part.size * part.repeat
    return torch.cat(orders)


def check_permutations(symmetry: Symmetry, permutations: Permutations) -> None:
    """Check that there is a permutation of the right length for each group.

    Raises:
        ValueError: naming the first group for which there is none.
    """
    for group, size in symmetry.sizes.items():
        if group not in permutations:
            raise ValueError(f"group {group}: no permutation is given; the groups are {', '.join(symmetry.sizes)}")
        if not torch.equal(permutations[group].cpu().sort().values, torch.arange(size)):
            raise ValueError(f"group {group}: not a permutation of its {size} units")
    for group in permutations:
        if group not in symmetry.sizes:
            raise ValueError(f"group {group}: the network has no such group; it has {', '.join(symmetry.sizes)}")


def check_state(symmetry: Symmetry, state: State) -> None:
    """Check that a state belongs to the network whose symmetry it is.

    Raises:
        ValueError: naming the first tensor that is missing, unknown or of another shape.
    """
    for name, axes in symmetry.axes.items():
        shape = tuple(sum(part.size * part.repeat for part in parts) for parts in axes)
        if name not in state:
            raise ValueError(f"{name}: the symmetry moves it, the network's state lacks it")
        if tuple(state[name].shape) != shape:
            raise ValueError(f"{name}: shape {tuple(state[name].shape)} vs {shape} in the symmetry")
    for name in state:
        if name not in symmetry.axes:
            raise ValueError(f"{name}: the symmetry knows no such tensor")


def permute(symmetry: Symmetry, state: State, permutations: Permutations) -> dict[str, Tensor]:
    """Give the state of the same function with its units in another order; every tensor is a new one.

    Raises:
        ValueError: the state or the permutations do not belong to this symmetry.
    """
    check_state(symmetry, state)
    check_permutations(symmetry, permutations)
    return {name: permuted_tensor(symmetry, name, state[name], permutations).clone() for name in state}


def permuted_tensor(
    symmetry: Symmetry, name: str, value: Tensor, permutations: Permutations, skip: Callable[[int], bool] | None = None
) -> Tensor:
    """Permute one tensor of the state along all its axes, or all but those for which `skip` is true."""
    for i, parts in enumerate(symmetry.axes[name]):
        order = None if skip is not None and skip(i) else entry_order(parts, permutations)
        if order is not None:
            value = value.index_select(i, order.to(value.device))
    return value
