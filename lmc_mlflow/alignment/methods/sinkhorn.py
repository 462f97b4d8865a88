"""Sinkhorn re-basin: trains soft permutations of B's units by gradient descent.

Guerrero Pena et al., Re-basin via implicit Sinkhorn differentiation (2023). Here the gradient goes through a fixed
number of Sinkhorn's normalizations themselves. Units inside blocks (heads, groups of channels, experts) are held as
they are at the start; the blocks themselves are exchanged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict, Unpack

import torch
from torch import Tensor, nn

from lmc_mlflow.alignment.matching import (
    Matching,
    assign,
    check_states,
    compared_tensors,
    start_permutations,
)
from lmc_mlflow.alignment.methods.objectives import OBJECTIVES, Objective
from lmc_mlflow.alignment.ordering import permute, permuted_tensor
from lmc_mlflow.alignment.symmetry import (
    Parts,
    Permutations,
    Symmetry,
    compose,
    identity_permutations,
    inverse,
)
from lmc_mlflow.seeds import stream
from lmc_mlflow.weights import State

NUM_NORMALIZATIONS = 20
ROUND_EVERY = 10
"""Steps after which the soft permutations are rounded and the hard ones are tried."""
NOISE = 0.01


class GivenSettings(TypedDict, total=False):
    """Fields of `SinkhornSettings` that a caller may give by name."""

    objective: str
    steps: int
    lr: float
    temperature: float
    seed: int
    include: Sequence[str] | None


@dataclass(frozen=True)
class SinkhornSettings:
    """How soft permutations are trained."""

    objective: str = "distance"
    """A row of `OBJECTIVES`: `distance` of the weights, or the loss at the `midpoint` or along the `path`."""
    steps: int = 200
    """Steps of Adam."""
    lr: float = 0.1
    temperature: float = 1.0
    """The lower, the closer soft permutations are to hard ones."""
    seed: int = 0
    """Seed of the scores' first values and of the alphas of `path`."""
    include: Sequence[str] | None = None
    """Names of the tensors whose distance counts; None for every floating tensor but running statistics."""


def match_sinkhorn(
    symmetry: Symmetry,
    network: nn.Module,
    a: State,
    b: State,
    *,
    batches: Sequence[tuple[Tensor, Tensor]] = (),
    start: Permutations | None = None,
    **given: Unpack[GivenSettings],
) -> Matching:
    """Train soft permutations of b's units towards a and keep the best hard ones tried, the start among them.

    Args:
        symmetry: of the network.
        network: whose states a and b are; not changed.
        a: the state whose units keep their order.
        b: the state whose units are matched.
        batches: images (N, C, H, W) and labels, one a step in turn; not needed for the distance.
        start: where to begin; None for soft permutations without preference. The identity is tried in any case.
        given: fields of `SinkhornSettings`.

    Raises:
        ValueError: states that do not belong to the symmetry, an unknown objective, no batches where it needs some.
    """
    settings = SinkhornSettings(**given)
    check_states(symmetry, a, b)
    _check_objective(settings.objective, batches)
    names = compared_tensors(symmetry, a, settings.include)
    objective = OBJECTIVES[settings.objective](network, a, names, batches)
    held = _order_inside(symmetry, start_permutations(symmetry, start))
    b = permute(symmetry, b, held)
    best = _Best(symmetry, b, objective)
    for tried in (None, start):  # None: the identity
        best.attempt(compose(inverse(held, symmetry), start_permutations(symmetry, tried), symmetry))
    history = [best.value]
    scores = _first_scores(symmetry, settings.seed, start, next(iter(b.values())).device)
    optimizer = torch.optim.Adam(list(scores.values()), lr=settings.lr) if scores else None
    draws = stream(settings.seed, "sinkhorn_alpha")
    for step in range(1, settings.steps + 1 if optimizer else 1):
        assert optimizer is not None
        matrices = {g: sinkhorn(x / settings.temperature, NUM_NORMALIZATIONS) for g, x in scores.items()}
        permuted = {name: permute_softly(symmetry, name, b[name].detach(), matrices) for name in objective.names}
        optimizer.zero_grad()
        objective.soft(permuted, step - 1, draws).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % ROUND_EVERY == 0 or step == settings.steps:
            rounded = {group: assign(score) for group, score in scores.items()}
            best.attempt(identity_permutations(symmetry) | rounded)
            history.append(best.value)
    return Matching(compose(held, best.permutations, symmetry), tuple(history), True, "sinkhorn")


def _order_inside(symmetry: Symmetry, permutations: Permutations) -> dict[str, Tensor]:
    """Give the permutation that only orders the units inside blocks as another one does, which moves blocks too."""
    inside = {
        group: permutations[group][torch.argsort(permutations[outer])] for group, outer in symmetry.parents.items()
    }
    return identity_permutations(symmetry) | inside


def _check_objective(objective: str, batches: Sequence[tuple[Tensor, Tensor]]) -> None:
    if objective not in OBJECTIVES:
        raise ValueError(f"objective {objective!r}: choose from {', '.join(OBJECTIVES)}")
    if objective != "distance" and not batches:
        raise ValueError(f"objective {objective!r} is a loss on images, and none were given")


def sinkhorn(scores: Tensor, num_normalizations: int) -> Tensor:
    """Normalize the rows and columns of exp(scores) (n, n) in turn, towards a doubly stochastic matrix (n, n).

    Sinkhorn (1964), in logarithms: nothing overflows, however low the temperature.
    """
    for _ in range(num_normalizations):
        scores = scores - scores.logsumexp(dim=1, keepdim=True)
        scores = scores - scores.logsumexp(dim=0, keepdim=True)
    return scores.exp()


def permute_softly(symmetry: Symmetry, name: str, value: Tensor, matrices: Mapping[str, Tensor]) -> Tensor:
    """Multiply the axes of one tensor of the state by the groups' matrices: new unit i is sum_j P[i, j] old_j."""
    for axis, parts in enumerate(symmetry.axes[name]):
        if any(group in matrices for part in parts for group in part.groups()):
            value = _multiply(value.movedim(axis, 0), parts, matrices).movedim(0, axis)
    return value


def _multiply(value: Tensor, parts: Parts, matrices: Mapping[str, Tensor]) -> Tensor:
    pieces, start = [], 0
    for part in parts:
        end = start + part.size * part.repeat
        piece = value[start:end]
        if part.group is not None and part.group in matrices:
            piece = (matrices[part.group] @ piece.reshape(part.size, -1)).reshape(piece.shape)
        if any(group in matrices for inner in part.inner for group in inner.groups()):
            inside = piece.reshape(part.size, part.repeat, *piece.shape[1:]).transpose(0, 1)
            piece = _multiply(inside, part.inner, matrices).transpose(0, 1).flatten(0, 1)
        pieces.append(piece)
        start = end
    return torch.cat(pieces)


def _first_scores(symmetry: Symmetry, seed: int, start: Permutations | None, device: torch.device) -> dict[str, Tensor]:
    scores = {}
    free = {group: size for group, size in symmetry.sizes.items() if group not in symmetry.parents}
    for i, (group, size) in enumerate(free.items()):
        noise = NOISE * torch.randn(size, size, generator=stream(seed, "sinkhorn_scores", i))
        hard = torch.zeros(size, size) if start is None else torch.eye(size)[start[group].cpu()]
        scores[group] = (noise + hard).to(device).requires_grad_()
    return scores


class _Best:
    """The hard permutations with the lowest objective so far."""

    def __init__(self, symmetry: Symmetry, b: State, objective: Objective) -> None:
        self.symmetry, self.b, self.objective = symmetry, b, objective
        self.permutations: dict[str, Tensor] = {}
        self.value = float("inf")
        self._last: dict[str, Tensor] | None = None

    @torch.no_grad()
    def attempt(self, permutations: dict[str, Tensor]) -> None:
        """Evaluate permutations and keep them if they are better."""
        if self._last is not None and all(torch.equal(p, self._last[g]) for g, p in permutations.items()):
            return
        self._last = permutations
        permuted = {
            name: permuted_tensor(self.symmetry, name, self.b[name].detach(), permutations)
            for name in self.objective.names
        }
        value = self.objective.hard(permuted)
        if value < self.value or not self.permutations:
            self.permutations, self.value = permutations, value
