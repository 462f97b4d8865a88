"""Weight matching: permutes B's weights closest to A's by coordinate descent over linear assignments.

Ainsworth et al., Git Re-Basin (2023), Algorithm 1: maximize the sum over tensors of <a, permuted b>, which is to
minimize the distance of the two. Given all other groups, the best permutation of one group is a linear assignment;
with one hidden layer there is only one group and the assignment is exact. Blocks, and the units inside them, are
matched in one step: hierarchical assignment.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace

import torch

from lmc_mlflow.alignment.matching import (
    Matching,
    assign,
    check_states,
    compared_tensors,
    start_permutations,
)
from lmc_mlflow.alignment.methods.block_costs import BlockCosts
from lmc_mlflow.alignment.methods.weight_products import CostMatrix, cost_matrices
from lmc_mlflow.alignment.ordering import permuted_tensor
from lmc_mlflow.alignment.symmetry import Permutations, Symmetry
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
    """Match b's units to a's until no group can be improved alone; never worse than the start.

    The descent is begun twice, at the start and at what matching layer after layer from the input gives (unless
    that is below the start), and the better result is kept. In tests the second began better for independent networks;
    two networks that are aligned already are best left to the first.

    Args:
        symmetry: of the network.
        a: the state whose units keep their order.
        b: the state whose units are matched.
        seed: of the order of groups, drawn anew for each sweep.
        max_sweeps: passes over all groups.
        include: names of the tensors that are compared; None for every floating tensor but running statistics.
        start: where to begin; None for the identity.

    Raises:
        ValueError: states, start or names do not belong to the symmetry.
    """
    check_states(symmetry, a, b)
    problem = _Problem(symmetry, a, b, compared_tensors(symmetry, a, include))
    first = start_permutations(symmetry, start)
    from_start = _descend(problem, dict(first), seed, max_sweeps)
    second = problem.layer_by_layer(first)
    if problem.objective(second, problem.names) > from_start.objective[0]:
        from_layers = _descend(problem, second, seed, max_sweeps - 1)  # going through the layers was a sweep
        if from_layers.objective[-1] > from_start.objective[-1]:
            return replace(from_layers, objective=(from_start.objective[0], *from_layers.objective))
    return from_start


def _descend(problem: "_Problem", permutations: dict[str, torch.Tensor], seed: int, max_sweeps: int) -> Matching:
    """Coordinate descent from these permutations, which it changes in place."""
    groups = list(problem.neighbours)
    optimal: set[str] = set()  # groups that cannot be improved alone, as the others are now
    objective = [problem.objective(permutations, problem.names)]
    for sweep in range(max_sweeps):
        if len(optimal) == len(groups):
            break
        total = objective[-1]
        for index in torch.randperm(len(groups), generator=stream(seed, "matching_order", sweep)).tolist():
            group = groups[index]
            if group not in optimal:
                gain = problem.improve(group, permutations)
                total += gain
                if gain > 0:
                    optimal -= problem.neighbours[group]
                optimal.add(group)
        objective.append(total)
    return Matching(permutations, tuple(objective), len(optimal) == len(groups), "weights")


class _Problem:
    """Two networks, and the cost matrices of every group given the permutations of all the others."""

    def __init__(self, symmetry: Symmetry, a: State, b: State, names: Collection[str]) -> None:
        self.symmetry, self.names = symmetry, names
        # Assignments are solved on the CPU; a GPU would be waited for at every one of them.
        self.a = {name: a[name].detach().cpu() for name in names}
        self.b = {name: b[name].detach().cpu() for name in names}
        self.costs: dict[str, list[CostMatrix]] = {g: [] for g in symmetry.sizes if g not in symmetry.parents}
        for name in names:
            for group, cost in cost_matrices(symmetry, name, self.a[name], self.b[name]):
                self.costs[group].append(cost)
        self.neighbours = {
            group: {symmetry.parents.get(other, other) for cost in costs for other in cost.depends_on()}
            for group, costs in self.costs.items()
        }
        self.blocks = {
            group: BlockCosts(symmetry, group, self.a, self.b) for group in dict.fromkeys(symmetry.parents.values())
        }
        self.neighbours |= {group: costs.depends_on() for group, costs in self.blocks.items()}
        self.products: dict[str, torch.Tensor] = {}  # group -> sum of its cost matrices, as the others are now

    def objective(self, permutations: Permutations, names: Collection[str]) -> float:
        """Sum <a, permuted b> over tensors."""
        total = 0.0
        for name in names:
            permuted = permuted_tensor(self.symmetry, name, self.b[name], permutations)
            total += float((self.a[name].double() * permuted.double()).sum())
        return total

    def layer_by_layer(self, start: Permutations) -> dict[str, torch.Tensor]:
        """Match each group, in the network's order, on those tensors whose other groups have been matched before it.

        A layer that has not been matched yet says nothing about the layer before it.
        """
        permutations, matched = dict(start), set[str]()
        for group, costs in self.costs.items():
            usable = [cost for cost in costs if cost.depends_on() <= matched]
            if group in self.blocks:
                permutations |= self.blocks[group].best(permutations, matched)
            elif usable:
                permutations[group] = assign(_sum(cost.products(permutations) for cost in usable))
            matched.add(group)
        return permutations

    def improve(self, group: str, permutations: dict[str, torch.Tensor]) -> float:
        """Give the group its best permutation (in place) if that is an improvement; returns the gain, 0 for none."""
        costs = self.costs[group]
        if group in self.blocks:
            return self._improve_blocks(self.blocks[group], permutations)
        if not costs:
            return 0.0
        changes = [change for cost in costs if (change := cost.change(permutations)) is not None]
        if changes:
            known = self.products.get(group)
            self.products[group] = _sum(changes if known is None else [known, *changes])
        products = self.products[group]
        before, after = permutations[group], assign(products)
        units = torch.arange(len(before))
        gain = float((products[units, after] - products[units, before]).sum())
        if group in self.neighbours[group]:  # it permutes two axes of one tensor: the assignment saw only one of them
            names = {cost.name for cost in costs}
            gain = -self.objective(permutations, names)
            gain += self.objective({**permutations, group: after}, names)
        if gain <= ROUNDING * sum(cost.rounding for cost in costs):
            return 0.0
        permutations[group] = after
        return gain

    def _improve_blocks(self, costs: BlockCosts, permutations: dict[str, torch.Tensor]) -> float:
        after = {**permutations, **costs.best(permutations)}
        gain = self.objective(after, costs.names) - self.objective(permutations, costs.names)
        if gain <= ROUNDING * costs.rounding:
            return 0.0
        permutations |= after
        return gain


def _sum(matrices: Iterable[torch.Tensor]) -> torch.Tensor:
    """Add matrices up in float64, one after the other; the first is changed in place if it is of float64."""
    total: torch.Tensor | None = None
    for matrix in matrices:
        total = matrix.double() if total is None else total.add_(matrix)
    assert total is not None
    return total
