"""What does matching two networks give, and how are units assigned once one knows what each pair is worth?"""

from collections.abc import Collection
from dataclasses import dataclass

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
    """What was optimized: before, then after each sweep (or step)."""
    converged: bool
    """False where the limit of sweeps was hit before nothing changed any more."""
    method: str


def assign(worth: Tensor) -> Tensor:
    """The permutation p that maximizes the sum of worth[i, p[i]], for a worth (n, n): int64 (n,) on the CPU."""
    from scipy.optimize import linear_sum_assignment  # a slow import that few commands need

    _, columns = linear_sum_assignment(worth.detach().double().cpu().numpy(), maximize=True)
    return torch.from_numpy(columns).long()


def check_ends(symmetry: Symmetry, a: State, b: State) -> None:
    """Both must be states of the network whose symmetry it is.

    Raises:
        ValueError: naming the first tensor that does not fit.
    """
    check_compatible(a, b)
    check_state(symmetry, a)


def counted(symmetry: Symmetry, state: State, include: Collection[str] | None) -> list[str]:
    """The tensors that count in an objective: those of `include`, or every floating one but running statistics.

    Raises:
        ValueError: `include` names a tensor that there is not.
    """
    if include is None:
        running = (".running_mean", ".running_var")
        return [name for name in symmetry.axes if state[name].is_floating_point() and not name.endswith(running)]
    for name in include:
        if name not in symmetry.axes:
            raise ValueError(f"{name}: the network has no such tensor to match on")
    return [name for name in symmetry.axes if name in set(include)]


def starting(symmetry: Symmetry, start: Permutations | None) -> dict[str, Tensor]:
    """The permutations to start from: a copy, or the identity.

    Raises:
        ValueError: they do not belong to this symmetry.
    """
    if start is None:
        return identity_permutations(symmetry)
    check_permutations(symmetry, start)
    return {group: start[group].cpu().clone() for group in symmetry.sizes}
