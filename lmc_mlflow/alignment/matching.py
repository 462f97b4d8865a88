"""The result of matching two networks, and the steps that all matching methods share."""

from collections.abc import Collection
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lmc_mlflow.alignment.symmetry import (
    Permutations,
    Symmetry,
    check_permutations,
    check_state,
    identity_permutations,
)
from lmc_mlflow.weights import State, check_compatible


@dataclass(frozen=True)
class Matching:
    """A permutation of B's units towards A, and how it was found."""

    permutations: dict[str, Tensor]
    """Group -> int64 (n,) on the CPU: new unit i is B's unit `permutation[i]`."""
    objective: tuple[float, ...]
    """Values of the objective: before, then after each sweep (or each few steps)."""
    converged: bool
    """False where the limit of sweeps was reached while permutations still changed."""
    method: str
    """Name of the method: a row of `methods.table.METHODS`."""
    maps: dict[str, Tensor] = field(default_factory=dict)
    """Group of units inside heads -> float64 (heads, n, n): the matrix that mixes them, once they are permuted."""


def assign(similarity: Tensor) -> Tensor:
    """Solve a linear assignment: the permutation p that maximizes the sum of similarity[i, p[i]].

    Args:
        similarity: (n, n), of each unit of A with each unit of B.

    Returns:
        int64 (n,) on the CPU.
    """
    from scipy.optimize import linear_sum_assignment  # a slow import that few commands need

    _, columns = linear_sum_assignment(similarity.detach().double().cpu().numpy(), maximize=True)
    return torch.from_numpy(columns).long()


def assign_each(similarities: Tensor) -> Tensor:
    """Solve several linear assignments (P, n, n), as `assign` does one; gives int64 (P, n) on the CPU."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    matrices = similarities.detach().double().cpu().numpy()
    columns = np.empty(matrices.shape[:2], dtype=np.int64)
    for i, matrix in enumerate(matrices):
        columns[i] = linear_sum_assignment(matrix, maximize=True)[1]
    return torch.from_numpy(columns)


def check_states(symmetry: Symmetry, a: State, b: State) -> None:
    """Check that both states belong to the network whose symmetry it is.

    Raises:
        ValueError: naming the first tensor that does not fit.
    """
    check_compatible(a, b)
    check_state(symmetry, a)


def compared_tensors(symmetry: Symmetry, state: State, include: Collection[str] | None) -> list[str]:
    """List the tensors that an objective compares: those of `include`, or all floating ones but running statistics.

    Raises:
        ValueError: `include` names a tensor that the network does not have.
    """
    if include is None:
        running = (".running_mean", ".running_var")
        return [name for name in symmetry.axes if state[name].is_floating_point() and not name.endswith(running)]
    for name in include:
        if name not in symmetry.axes:
            raise ValueError(f"{name}: the network has no such tensor to match on")
    return [name for name in symmetry.axes if name in set(include)]


def start_permutations(symmetry: Symmetry, start: Permutations | None) -> dict[str, Tensor]:
    """Copy the permutations to start from; the identity where there are none.

    Raises:
        ValueError: they do not belong to this symmetry.
    """
    if start is None:
        return identity_permutations(symmetry)
    check_permutations(symmetry, start)
    return {group: start[group].cpu().clone() for group in symmetry.sizes}
