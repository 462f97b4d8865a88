"""Measures the segments between every two of many networks, aligned before or not."""

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm

from lmc_mlflow import weights
from lmc_mlflow.alignment import Symmetry
from lmc_mlflow.config.commands import MatrixConfig
from lmc_mlflow.config.network_groups import BEST, PAIRWISE, PairwiseConfig
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.models.parameters import trainable
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.graph import is_constant
from lmc_mlflow.paths.points import BN_POLICIES
from lmc_mlflow.paths.walk import Path, measure_path
from lmc_mlflow.predictions.scores import ACCURACY, score_name
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.weights import State
from lmc_mlflow.workflows.alignment.find_alignment import find_alignment
from lmc_mlflow.workflows.networks.network_group import Material, labels_of


@dataclass(frozen=True)
class Member:
    """One of the networks.

    Attributes:
        run_id: of the run that logged it.
        label: its short name in figures.
        loss: on the test set.
        score: accuracy or average precision on the test set.
        constant: whether it does no better than naming the largest class, in which case connecting it says nothing.
    """

    run_id: str
    label: str
    loss: float
    score: float
    constant: bool


@dataclass(frozen=True)
class PairMeasurement:
    """The segment between members i and j, i < j, and how far its ends are apart.

    Attributes:
        i: the member at alpha 0.
        j: the member at alpha 1.
        path: what was measured on the segment.
        distance: L2, over the trainable parameters, between the ends of the segment.
        distance_unaligned: between the networks as they were logged.
        angle_deg: between the ends of the segment.
        angle_deg_unaligned: between the networks as they were logged.
    """

    i: int
    j: int
    path: Path
    distance: float
    distance_unaligned: float
    angle_deg: float
    angle_deg_unaligned: float


@dataclass(frozen=True)
class MatrixMeasurement:
    """Everything that was measured.

    Attributes:
        settings: how.
        score: `accuracy` or `average_precision`.
        members: the networks.
        pairs: every two of them once.
        reference: run id of the network that all were aligned to; empty: none.
        num_unsettled: matchings that had not settled when their limit was reached.
    """

    settings: PairwiseConfig
    score: str
    members: tuple[Member, ...]
    pairs: tuple[PairMeasurement, ...]
    reference: str
    num_unsettled: int


Pair = tuple[LoggedNetwork, LoggedNetwork]


class _Aligner:
    """Aligns one network to another, and counts the matchings that did not settle."""

    def __init__(
        self, config: MatrixConfig, symmetry: Symmetry | None, material: Material, device: torch.device
    ) -> None:
        self.num_unsettled = 0
        self._config = config
        self._symmetry = symmetry
        self._material = material
        self._device = device

    def towards(self, a: LoggedNetwork, b: LoggedNetwork) -> LoggedNetwork:
        """Permute B's units towards A, or give B as it is where nothing is aligned."""
        if self._symmetry is None or a is b:
            return b
        images = self._material.sides.get(a.digests["train"])  # loaded where the method needs images
        method, matching = self._config.pairwise.align, self._config.matching
        found = find_alignment((a, b), self._symmetry, method, matching, images, self._device)
        self.num_unsettled += not found.matching.converged
        return found.network


class PairMeasurer:
    """Scores networks, aligns them, and measures the segments between them, pair by pair.

    Attributes:
        members: the networks with their scores.
        reference: run id of the network that all are aligned to; empty: none.
    """

    def __init__(
        self,
        config: MatrixConfig,
        networks: Sequence[LoggedNetwork],
        symmetry: Symmetry | None,
        material: Material,
        device: torch.device,
    ) -> None:
        """Score every network, and align all to the reference if there is one.

        Args:
            config: how.
            networks: of one architecture.
            symmetry: theirs; None: nothing is aligned.
            material: the data.
            device: where it is computed.
        """
        self.members = _members(networks, material, device)
        self._aligner = _Aligner(config, symmetry, material, device)
        self._pair, self.reference = _pairing(config.pairwise.reference, networks, self.members, self._aligner)
        self._walk = _walker(config, networks, material, device)

    @property
    def num_unsettled(self) -> int:
        """Count the matchings so far that have not settled."""
        return self._aligner.num_unsettled

    def pairs(self) -> list[tuple[int, int]]:
        """List every two members i < j."""
        return list(itertools.combinations(range(len(self.members)), 2))

    def measure(self, known: Collection[tuple[int, int]]) -> Iterator[PairMeasurement]:
        """Measure the pairs that are not known yet, one after another."""
        left = [pair for pair in self.pairs() if pair not in known]
        options: dict[str, Any] = {"initial": len(known), "total": len(known) + len(left)}
        for i, j in tqdm(left, desc="pairs", unit="pair", leave=False, disable=None, **options):
            yield self._walk(i, j, self._pair(i, j))


def _members(networks: Sequence[LoggedNetwork], material: Material, device: torch.device) -> tuple[Member, ...]:
    found, truth = [], material.test.labels
    for network, label in zip(networks, labels_of(networks), strict=True):
        loss, score = evaluate(network.network().to(device), material.test.images, truth)
        constant = score_name(truth) == ACCURACY and is_constant(score, truth.cpu().numpy())
        found.append(Member(network.run.info.run_id, label, loss, score, constant))
    return tuple(found)


def _pairing(
    reference: str, networks: Sequence[LoggedNetwork], members: Sequence[Member], aligner: _Aligner
) -> tuple[Callable[[int, int], Pair], str]:
    """Give a function from i and j to the two aligned members, and the run id of the common reference, if any."""
    if reference == PAIRWISE:
        return lambda i, j: (networks[i], aligner.towards(networks[i], networks[j])), ""
    ids = [member.run_id for member in members]
    place = max(range(len(ids)), key=lambda i: members[i].score) if reference == BEST else ids.index(reference)
    bar = tqdm(networks, desc="aligning", unit="network", leave=False, disable=None)
    aligned = [aligner.towards(networks[place], network) for network in bar]
    return lambda i, j: (aligned[i], aligned[j]), ids[place]


def _walker(
    config: MatrixConfig, networks: Sequence[LoggedNetwork], material: Material, device: torch.device
) -> Callable[[int, int, Pair], PairMeasurement]:
    """Give a function that measures one pair."""
    settings = config.pairwise
    network = networks[0].network().to(device)
    names, alphas = trainable(network), alpha_grid(settings.num_alphas)
    splits = {settings.split: (material.measured.images, material.measured.labels)}

    def walk_pair(i: int, j: int, pair: Pair) -> PairMeasurement:
        a, b = ({name: value.to(device) for name, value in end.state.items()} for end in pair)
        calibration = material.calibration(pair) if BN_POLICIES[settings.bn].needs_images else None
        path = measure_path(network, Segment(a, b), alphas, splits, settings.bn, calibration)
        before = networks[i].state, networks[j].state
        return PairMeasurement(i, j, path, *_lengths(pair[0].state, pair[1].state, before, names))

    return walk_pair


def _lengths(a: State, b: State, before: tuple[State, State], names: Sequence[str]) -> tuple[float, ...]:
    return (
        math.sqrt(weights.euclidean_squared(a, b, names)),
        math.sqrt(weights.euclidean_squared(*before, names)),
        weights.angle_deg(a, b, names),
        weights.angle_deg(*before, names),
    )
