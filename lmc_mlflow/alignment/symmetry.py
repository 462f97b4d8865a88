"""Permutation symmetries of a network: which units may be exchanged, and how that permutes its tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lmc_mlflow.weights import State


@dataclass(frozen=True)
class Part:
    """A part of an axis: `size` units of `repeat` consecutive entries each.

    A group of None is frozen: its units stay where they are. Where units move inside each unit, `inner` says how its
    entries are made up; they lie in a block then.
    """

    group: str | None
    size: int
    repeat: int = 1
    inner: "tuple[Part, ...]" = ()

    def groups(self) -> list[str]:
        """List the groups of the part and of what lies inside, each once."""
        inside = (group for part in self.inner for group in part.groups())
        return list(dict.fromkeys((*(() if self.group is None else (self.group,)), *inside)))


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
    parents: Mapping[str, str] = field(default_factory=dict)
    """Group of units inside blocks -> the group of these blocks: heads, groups of channels, experts.

    The units are permuted in every block in a way of its own.
    """
    mixable: frozenset[str] = frozenset()
    """Groups of units inside blocks that any orthogonal matrix may mix, block by block: only products meet them."""
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
            if any(group in part.groups() for part in parts)
        ]

    def insides(self, blocks: str) -> list[str]:
        """List the groups of units that lie inside the blocks of a group."""
        return [group for group, parent in self.parents.items() if parent == blocks]

    def shape(self, group: str) -> tuple[int, ...]:
        """Give the shape of a group's permutation: (n,), or (blocks, n) of units inside blocks."""
        blocks = (self.sizes[self.parents[group]],) if group in self.parents else ()
        return (*blocks, self.sizes[group])


Permutations = Mapping[str, Tensor]
"""Group -> int64 (n,): new unit i is old unit `permutation[i]`; of units inside blocks, int64 (blocks, n).

New block i is old block `outer[i]`, and new unit j inside it is unit `inner[i, j]` of that old block.
"""


def identity_permutations(symmetry: Symmetry) -> dict[str, Tensor]:
    """Make the permutations that leave every unit where it is: group -> int64 (n,) or (blocks, n)."""
    return {group: torch.arange(size).expand(symmetry.shape(group)).clone() for group, size in symmetry.sizes.items()}


def completed(symmetry: Symmetry, permutations: Permutations) -> dict[str, Tensor]:
    """Add groups that stay where they are: earlier versions moved heads, and what lies inside blocks, with nothing."""
    return identity_permutations(symmetry) | dict(permutations)


def random_permutations(symmetry: Symmetry, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw a uniform permutation for each group, one after the other: group -> int64 (n,) or (blocks, n)."""
    drawn = {}
    for group, size in symmetry.sizes.items():
        shape = symmetry.shape(group)
        rows = [torch.randperm(size, generator=generator) for _ in range(shape[0] if len(shape) > 1 else 1)]
        drawn[group] = torch.stack(rows).view(shape)
    return drawn


def inverse(permutations: Permutations, symmetry: Symmetry | None = None) -> dict[str, Tensor]:
    """Invert permutations; the symmetry is needed where units lie inside blocks.

    Raises:
        ValueError: units lie inside blocks, and no symmetry says inside which.
    """
    parents = _parents(permutations, symmetry)
    inverted = {group: torch.argsort(permutation) for group, permutation in permutations.items()}
    return {group: order[inverted[parents[group]]] if group in parents else order for group, order in inverted.items()}


def compose(first: Permutations, second: Permutations, symmetry: Symmetry | None = None) -> dict[str, Tensor]:
    """Combine two permutations: by `first`, and the result by `second`; the symmetry is needed as in `inverse`.

    Raises:
        ValueError: units lie inside blocks, and no symmetry says inside which.
    """
    parents = _parents(first, symmetry)
    return {
        group: first[group][second[parents[group]]].gather(1, second[group])
        if group in parents
        else first[group][second[group]]
        for group in first
    }


def _parents(permutations: Permutations, symmetry: Symmetry | None) -> Mapping[str, str]:
    inside = next((group for group, permutation in permutations.items() if permutation.ndim > 1), None)
    if inside is not None and symmetry is None:
        raise ValueError(f"group {inside}: its units lie inside blocks; give the symmetry, which says inside which")
    return {} if symmetry is None else symmetry.parents


def units_moved(permutations: Permutations) -> float:
    """Give the fraction of units, over all groups, that a permutation moves.

    A block counts as a unit that moves to another place, and a unit inside as one that moves to another place there.
    """
    total = sum(permutation.numel() for permutation in permutations.values())
    moved = sum(int((p.cpu() != torch.arange(p.shape[-1])).sum()) for p in permutations.values())
    return moved / total if total else 0.0


def blocks_moved(symmetry: Symmetry, permutations: Permutations) -> tuple[int, int]:
    """Count the blocks (heads, groups of channels, experts) that a permutation moves, and all blocks."""
    blocks = set(symmetry.parents.values())
    moved = sum(int((permutations[group].cpu() != torch.arange(symmetry.sizes[group])).sum()) for group in blocks)
    return moved, sum(symmetry.sizes[group] for group in blocks)


def check_permutations(symmetry: Symmetry, permutations: Permutations) -> None:
    """Check that there is a permutation of the right length for each group.

    Raises:
        ValueError: naming the first group for which there is none.
    """
    for group, size in symmetry.sizes.items():
        if group not in permutations:
            raise ValueError(f"group {group}: no permutation is given; the groups are {', '.join(symmetry.sizes)}")
        every = torch.arange(size).expand(symmetry.shape(group))
        if not torch.equal(permutations[group].cpu().sort().values, every):
            raise ValueError(f"group {group}: not a permutation of its {_units(symmetry.shape(group))}")
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


def _units(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} units" if len(shape) == 1 else f"{shape[1]} units in each of {shape[0]} blocks"
