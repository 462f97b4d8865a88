"""Which permutation does gradient descent find, if permutations are made soft? Sinkhorn re-basin.

Guerrero Pena et al., Re-basin via implicit Sinkhorn differentiation (2023). Here the gradient goes through a fixed
number of Sinkhorn's normalizations themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict, Unpack

import torch
from torch import Tensor, nn

from lmc_mlflow.alignment.matching import (
    Matching,
    assign,
    check_ends,
    counted,
    starting,
)
from lmc_mlflow.alignment.methods.objectives import GOALS, Goal
from lmc_mlflow.alignment.methods.soft import permute_softly, sinkhorn
from lmc_mlflow.alignment.symmetry import Permutations, Symmetry, permuted_tensor
from lmc_mlflow.seeds import stream
from lmc_mlflow.weights import State

NUM_NORMALIZATIONS = 20
ROUND_EVERY = 10
"""Steps after which the soft permutations are rounded and the hard ones tried."""
NOISE = 0.01


class Given(TypedDict, total=False):
    """What may be set of `Settings`, by name."""

    objective: str
    steps: int
    lr: float
    temperature: float
    seed: int
    include: Sequence[str] | None


@dataclass(frozen=True)
class Settings:
    """How soft permutations are trained."""

    objective: str = "distance"
    """A row of `GOALS`: `distance` of the weights, or the loss at the `midpoint` or along the `path`."""
    steps: int = 200
    """Of Adam."""
    lr: float = 0.1
    temperature: float = 1.0
    """The lower, the closer soft permutations are to hard ones."""
    seed: int = 0
    """Of the scores' first values and of the alphas of `path`."""
    include: Sequence[str] | None = None
    """Names of the tensors that count in the distance; None for every floating tensor but running statistics."""


def match_sinkhorn(
    symmetry: Symmetry,
    network: nn.Module,
    a: State,
    b: State,
    *,
    batches: Sequence[tuple[Tensor, Tensor]] = (),
    start: Permutations | None = None,
    **given: Unpack[Given],
) -> Matching:
    """Train soft permutations of b's units towards a; the best hard ones seen, the start among them.

    Args:
        symmetry: of the network.
        network: whose states a and b are; not changed.
        a: stays.
        b: is permuted.
        batches: images (N, C, H, W) and labels, one a step in turn; not needed for the distance.
        start: where to begin; None for soft permutations that prefer nothing. The identity is tried in any case.
        given: fields of `Settings`.

    Raises:
        ValueError: states that do not belong to the symmetry, an unknown objective, no batches where it needs some.
    """
    settings = Settings(**given)
    check_ends(symmetry, a, b)
    if settings.objective not in GOALS:
        raise ValueError(f"objective {settings.objective!r}: choose from {', '.join(GOALS)}")
    if settings.objective != "distance" and not batches:
        raise ValueError(f"objective {settings.objective!r} is a loss on images, and none were given")
    goal = GOALS[settings.objective](network, a, counted(symmetry, a, settings.include), batches)
    best = _Best(symmetry, b, goal)
    best.attempt(starting(symmetry, None))
    if start is not None:
        best.attempt(starting(symmetry, start))
    history = [best.value]
    scores = _first_scores(symmetry, settings.seed, start, next(iter(b.values())).device)
    optimizer = torch.optim.Adam(list(scores.values()), lr=settings.lr) if scores else None
    draws = stream(settings.seed, "sinkhorn_alpha")
    for step in range(1, settings.steps + 1 if optimizer else 1):
        assert optimizer is not None
        matrices = {g: sinkhorn(x / settings.temperature, NUM_NORMALIZATIONS) for g, x in scores.items()}
        moved = {name: permute_softly(symmetry, name, b[name].detach(), matrices) for name in goal.names}
        optimizer.zero_grad()
        goal.soft(moved, step - 1, draws).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % ROUND_EVERY == 0 or step == settings.steps:
            best.attempt({group: assign(score) for group, score in scores.items()})
            history.append(best.value)
    return Matching(best.permutations, tuple(history), True, "sinkhorn")


class _Best:
    """The hard permutations with the lowest objective so far."""

    def __init__(self, symmetry: Symmetry, b: State, goal: Goal) -> None:
        self.symmetry, self.b, self.goal = symmetry, b, goal
        self.permutations: dict[str, Tensor] = {}
        self.value = float("inf")
        self._last: dict[str, Tensor] | None = None

    @torch.no_grad()
    def attempt(self, permutations: dict[str, Tensor]) -> None:
        """Keep them if they are better."""
        if self._last is not None and all(torch.equal(p, self._last[g]) for g, p in permutations.items()):
            return
        self._last = permutations
        moved = {n: permuted_tensor(self.symmetry, n, self.b[n].detach(), permutations) for n in self.goal.names}
        value = self.goal.hard(moved)
        if value < self.value or not self.permutations:
            self.permutations, self.value = permutations, value


def _first_scores(symmetry: Symmetry, seed: int, start: Permutations | None, device: torch.device) -> dict[str, Tensor]:
    scores = {}
    for i, (group, size) in enumerate(symmetry.sizes.items()):
        noise = NOISE * torch.randn(size, size, generator=stream(seed, "sinkhorn_scores", i))
        hard = torch.zeros(size, size) if start is None else torch.eye(size)[start[group].cpu()]
        scores[group] = (noise + hard).to(device).requires_grad_()
    return scores
