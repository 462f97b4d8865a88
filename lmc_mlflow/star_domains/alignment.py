"""Aligns other networks to a star by permuting their units."""

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from lmc_mlflow import weights
from lmc_mlflow.alignment import (
    LabelledSample,
    MatchingInputs,
    Symmetry,
    align,
    derive_symmetry,
    identity_permutations,
    permute,
)
from lmc_mlflow.alignment.methods.table import METHODS
from lmc_mlflow.config.alignment import MatchingConfig
from lmc_mlflow.normalization import recalibrate
from lmc_mlflow.seeds import derive_seed
from lmc_mlflow.weights import average

logger = logging.getLogger(__name__)
Permutations = dict[str, Tensor]


@dataclass(frozen=True)
class Aligner:
    """Permutes networks towards others; without a symmetry every network stays as it is.

    Attributes:
        symmetry: which units may be exchanged; None: nothing is aligned.
        network: of the architecture, on the device; its weights do not matter.
        method: a row of `METHODS`.
        config: what the method compares, for how long, and the seed of all matchings.
        sample: training images of the star, for the methods that need some.
    """

    symmetry: Symmetry | None
    network: nn.Module
    method: str = "weights"
    config: MatchingConfig = field(default_factory=MatchingConfig)
    sample: LabelledSample | None = None

    def start(self) -> Permutations:
        """Give the permutations that change nothing."""
        return {} if self.symmetry is None else identity_permutations(self.symmetry)

    def apply(self, state: weights.State, permutations: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give a permuted copy of a state."""
        return dict(state) if self.symmetry is None else permute(self.symmetry, state, permutations)

    def towards(
        self, target: weights.State, state: weights.State, permutations: Permutations, what: str, index: int = 0
    ) -> Permutations:
        """Find the permutations that bring a state to a target, starting from others.

        Args:
            target: stays as it is.
            state: as it was logged.
            permutations: to start from, so that a matching by weights is never worse than the one before.
            what: the matching is for.
            index: of the matching among those: each has its own seed.
        """
        if self.symmetry is None:
            return permutations
        seed = derive_seed(self.config.align_seed, f"star/{what}/matching", index)
        inputs = MatchingInputs(
            self.symmetry, self.network, target, state, self.config, seed, self.sample, start=permutations
        )
        found = align(self.method, inputs)
        if not found.converged:
            logger.warning("a matching stopped after max_sweeps=%d; more may align better", self.config.max_sweeps)
        return dict(found.permutations)

    def with_statistics(self, star: weights.State) -> weights.State:
        """Give the star with batch norm's statistics of the sample where the method runs the network.

        A star in training keeps none of its own.
        """
        if self.symmetry is None or self.sample is None or not METHODS[self.method].needs_statistics:
            return star
        network = copy.deepcopy(self.network)
        network.load_state_dict(dict(star))
        recalibrate(network, (images for images, _ in self.sample.batches(self.config)))
        return network.state_dict()


def make_aligner(
    network: nn.Module, images: Tensor, method: str, config: MatchingConfig, sample: LabelledSample | None = None
) -> Aligner:
    """Make the aligner of an architecture.

    Args:
        network: of the architecture; copied, its weights do not matter.
        images: (2, C, H, W), for their shape.
        method: a row of `METHODS`.
        config: what the method compares, for how long, and the seed of all matchings.
        sample: training images of the star, for the methods that need some.

    Raises:
        ValueError: an operation of the network is not understood; says which.
    """
    return Aligner(derive_symmetry(network, images), copy.deepcopy(network), method, config, sample)


def no_aligner() -> Aligner:
    """Make the aligner that leaves every network as it is."""
    return Aligner(None, nn.Identity())


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
        """Align every source to the star, starting from the alignment before.

        Args:
            star: its state; batch norm's statistics in it do not matter.
            index: of this matching of all sources: each has its own seeds.
        """
        target, size = self.aligner.with_statistics(star), len(self.logged)
        self.put(
            [
                self.aligner.towards(target, state, permutations, "step", index * size + i)
                for i, (state, permutations) in enumerate(zip(self.logged, self.permutations, strict=True))
            ]
        )

    def mean(self) -> dict[str, Tensor]:
        """Average all sources, each aligned to the first."""
        first = self.logged[0]
        others = [
            self.aligner.apply(state, self.aligner.towards(first, state, self.aligner.start(), "mean", i))
            for i, state in enumerate(self.logged[1:])
        ]
        return average((first, *others))
