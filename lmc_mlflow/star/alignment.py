"""How are other networks brought next to a star by exchanging their units?"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from lmc_mlflow import weights
from lmc_mlflow.alignment import (
    Symmetry,
    derive_symmetry,
    identity_permutations,
    match_weights,
    permute,
)
from lmc_mlflow.models.parameters import MATCHED_ON
from lmc_mlflow.seeds import derive_seed
from lmc_mlflow.weights import average

logger = logging.getLogger(__name__)
Permutations = dict[str, Tensor]


@dataclass(frozen=True)
class Aligner:
    """Weight matching as a star wants it; without a symmetry everything stays as it is.

    Attributes:
        symmetry: which units may be exchanged; None: nothing is aligned.
        compared: names of the tensors that the matching compares.
        max_sweeps: over all groups of units.
        seed: of the order in which a sweep takes them.
    """

    symmetry: Symmetry | None
    compared: tuple[str, ...]
    max_sweeps: int
    seed: int

    def start(self) -> Permutations:
        """The permutation that changes nothing."""
        return {} if self.symmetry is None else identity_permutations(self.symmetry)

    def apply(self, state: weights.State, permutations: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A permuted copy of a state."""
        return dict(state) if self.symmetry is None else permute(self.symmetry, state, permutations)

    def towards(
        self, target: weights.State, state: weights.State, permutations: Permutations, what: str, index: int = 0
    ) -> Permutations:
        """The permutation that brings a state to a target, sought from another one on.

        Args:
            target: stays as it is.
            state: as it was logged.
            permutations: to start from, so that a matching is never worse than the one before.
            what: the matching is for.
            index: of the matching among those: each has its own order.
        """
        if self.symmetry is None:
            return permutations
        found = match_weights(
            self.symmetry,
            target,
            state,
            seed=derive_seed(self.seed, f"star/{what}/matching", index),
            max_sweeps=self.max_sweeps,
            include=self.compared,
            start=permutations,
        )
        if not found.converged:
            logger.warning("a weight matching gave up after max_sweeps=%d; more may align better", self.max_sweeps)
        return dict(found.permutations)


def make_aligner(network: nn.Module, images: Tensor, match_on: str, max_sweeps: int, seed: int) -> Aligner:
    """The aligner of an architecture.

    Args:
        network: of the architecture; its weights do not matter.
        images: (2, C, H, W), for their shape.
        match_on: a row of `MATCHED_ON`.
        max_sweeps: of one matching.
        seed: of all matchings.

    Raises:
        ValueError: an operation of the network is not understood; says which.
    """
    return Aligner(derive_symmetry(network, images), tuple(MATCHED_ON[match_on](network)), max_sweeps, seed)


def no_aligner() -> Aligner:
    """The aligner that leaves every network as it is."""
    return Aligner(None, (), 0, 0)


@dataclass
class Sources:
    """The networks that a star joins, as aligned to it at the last matching.

    Attributes:
        logged: states as they were logged.
        permutations: of each, from the logged state to the aligned one.
        states: aligned.
    """

    aligner: Aligner
    logged: Sequence[weights.State]
    permutations: list[Permutations] = field(init=False)
    states: list[weights.State] = field(init=False)

    def __post_init__(self) -> None:
        self.put([self.aligner.start() for _ in self.logged])

    def put(self, permutations: Sequence[Permutations]) -> None:
        """Align the sources by known permutations."""
        self.permutations = list(permutations)
        self.states = [self.aligner.apply(s, p) for s, p in zip(self.logged, permutations, strict=True)]

    def match(self, star: weights.State, index: int) -> None:
        """Align every source to the star, from the alignment before."""
        size = len(self.logged)
        self.put(
            [
                self.aligner.towards(star, state, permutations, "step", index * size + i)
                for i, (state, permutations) in enumerate(zip(self.logged, self.permutations, strict=True))
            ]
        )

    def mean(self) -> dict[str, Tensor]:
        """The mean of all sources, each aligned to the first."""
        first = self.logged[0]
        others = [
            self.aligner.apply(state, self.aligner.towards(first, state, self.aligner.start(), "mean", i))
            for i, state in enumerate(self.logged[1:])
        ]
        return average((first, *others))
