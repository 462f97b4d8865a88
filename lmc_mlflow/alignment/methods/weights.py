"""Which permutation brings B's weights closest to A's? Coordinate descent over linear assignments.

Ainsworth et al., Git Re-Basin (2023), Algorithm 1: maximize the sum over tensors of <a, permuted b>, which is to
minimize the distance of the two. Given all other groups, the best permutation of one group is a linear assignment;
with one hidden layer there is only one group and the assignment is exact.
"""

from collections.abc import Collection
from dataclasses import replace

import torch

from lmc_mlflow.alignment.matching import (
    Matching,
    assign,
    check_ends,
    counted,
    starting,
)
from lmc_mlflow.alignment.methods.weight_products import Stake, stakes_of
from lmc_mlflow.alignment.symmetry import Permutations, Symmetry, permuted_tensor
from lmc_mlflow.seeds import stream
from lmc_mlflow.weights import State

ROUNDING = 16.0
"""A group changes only for a gain above this many units of rounding of the products of norms: less is noise."""


def match_weights(
    symmetry: Symmetry,
    a: State,
    b: State,
    *,
    seed: int,
    max_sweeps: int = 100,
    include: Collection[str] | None = None,
    start: Permutations | None = None,
) -> Matching:
    """Permute b towards a until no group can be improved alone; never worse than the start.

    The descent is begun twice, at the start and at what matching layer after layer from the input gives (unless
    that is below the start), and the better end is kept. In tests the second began better for independent networks;
    two networks that are aligned already are best left to the first.

    Args:
        symmetry: of the network.
        a: stays.
        b: is permuted.
        seed: of the order of groups, drawn anew for each sweep.
        max_sweeps: passes over all groups.
        include: names of the tensors that count; None for every floating tensor but running statistics.
        start: where to begin; None for the identity.

    Raises:
        ValueError: states, start or names do not belong to the symmetry.
    """
    check_ends(symmetry, a, b)
    problem = _Problem(symmetry, a, b, counted(symmetry, a, include))
    first = starting(symmetry, start)
    found = _descend(problem, dict(first), seed, max_sweeps)
    second = problem.layer_by_layer(first)
    if problem.objective(second, problem.names) > found.objective[0]:
        other = _descend(problem, second, seed, max_sweeps - 1)  # going through the layers was a sweep
        if other.objective[-1] > found.objective[-1]:
            return replace(other, objective=(found.objective[0], *other.objective))
    return found


def _descend(problem: "_Problem", permutations: dict[str, torch.Tensor], seed: int, max_sweeps: int) -> Matching:
    """Coordinate descent from these permutations, which it changes."""
    groups = list(permutations)
    settled: set[str] = set()
    objective = [problem.objective(permutations, problem.names)]
    for sweep in range(max_sweeps):
        if len(settled) == len(groups):
            break
        total = objective[-1]
        for place in torch.randperm(len(groups), generator=stream(seed, "matching_order", sweep)).tolist():
            group = groups[place]
            if group not in settled:
                gain = problem.improve(group, permutations)
                total += gain
                if gain > 0:
                    settled -= problem.neighbours[group]
                settled.add(group)
        objective.append(total)
    return Matching(permutations, tuple(objective), len(settled) == len(groups), "weights")


class _Problem:
    """Two networks and what every group's permutation is worth, given those of all the others."""

    def __init__(self, symmetry: Symmetry, a: State, b: State, names: Collection[str]) -> None:
        self.symmetry, self.names = symmetry, names
        self.a = {name: a[name].detach() for name in names}
        self.b = {name: b[name].detach() for name in names}
        self.stakes: dict[str, list[Stake]] = {group: [] for group in symmetry.sizes}
        for name in names:
            for group, stake in stakes_of(symmetry, name, self.a[name], self.b[name]):
                self.stakes[group].append(stake)
        self.neighbours = {
            group: {other for stake in stakes for other in stake.depends_on()} for group, stakes in self.stakes.items()
        }

    def objective(self, permutations: Permutations, names: Collection[str]) -> float:
        """Sum over tensors of <a, permuted b>."""
        total = 0.0
        for name in names:
            moved = permuted_tensor(self.symmetry, name, self.b[name], permutations)
            total += float((self.a[name].double() * moved.double()).sum())
        return total

    def layer_by_layer(self, start: Permutations) -> dict[str, torch.Tensor]:
        """Each group's best permutation by the tensors whose other groups have had theirs, in the network's order.

        What a layer that has not been matched yet says of the layer before it is noise.
        """
        permutations, known = dict(start), set[str]()
        for group, stakes in self.stakes.items():
            telling = [stake for stake in stakes if stake.depends_on() <= known]
            if telling:
                permutations[group] = assign(torch.stack([stake.worth(permutations) for stake in telling]).sum(0))
            known.add(group)
        return permutations

    def improve(self, group: str, permutations: dict[str, torch.Tensor]) -> float:
        """Give the group its best permutation (in place) if that is an improvement; the gain, 0 for none."""
        stakes = self.stakes[group]
        if not stakes:
            return 0.0
        worth = torch.stack([stake.worth(permutations) for stake in stakes]).sum(0).double()
        before, after = permutations[group], assign(worth)
        units = torch.arange(len(before))
        worth = worth.cpu()
        gain = float((worth[units, after] - worth[units, before]).sum())
        if group in self.neighbours[group]:  # it acts on two axes of one tensor: the assignment saw only one of them
            names = {stake.name for stake in stakes}
            gain = -self.objective(permutations, names)
            gain += self.objective({**permutations, group: after}, names)
        if gain <= ROUNDING * sum(stake.rounding for stake in stakes):
            return 0.0
        permutations[group] = after
        return gain
