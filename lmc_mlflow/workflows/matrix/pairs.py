"""How high is the segment between every two of many networks, their units aligned first or not?"""

import math
from collections.abc import Callable, Mapping, Sequence
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
class Walked:
    """The segment between members i and j, i < j: what was measured on it, and how far its ends are apart.

    Attributes:
        i: the member at alpha 0.
        j: the member at alpha 1.
        path: the segment.
        distance: L2, over the trainable parameters, as it was walked.
        distance_unaligned: between the networks as they were logged.
        angle_deg: as it was walked.
        angle_deg_unaligned: as they were logged.
    """

    i: int
    j: int
    path: Path
    distance: float
    distance_unaligned: float
    angle_deg: float
    angle_deg_unaligned: float


@dataclass(frozen=True)
class Survey:
    """Everything that was measured.

    Attributes:
        settings: how.
        score: `accuracy` or `average_precision`.
        members: the networks.
        walked: every two of them once.
        reference: run id of the network that all were aligned to; empty: none.
        num_unsettled: matchings that had not settled when their limit was reached.
    """

    settings: PairwiseConfig
    score: str
    members: tuple[Member, ...]
    walked: tuple[Walked, ...]
    reference: str
    num_unsettled: int


Pair = tuple[LoggedNetwork, LoggedNetwork]


class _Aligner:
    """Brings one network's units into another's order, and counts the matchings that did not settle."""

    def __init__(
        self, config: MatrixConfig, symmetry: Symmetry | None, material: Material, device: torch.device
    ) -> None:
        self.num_unsettled = 0
        self._config = config
        self._symmetry = symmetry
        self._material = material
        self._device = device

    def towards(self, a: LoggedNetwork, b: LoggedNetwork) -> LoggedNetwork:
        """B in A's order; as it is where nothing is aligned."""
        if self._symmetry is None or a is b:
            return b
        # Matching weights looks at no images: then the training subsets may not have been loaded.
        images = self._material.sides.get(a.digests["train"], self._material.test)
        method, matching = self._config.pairwise.align, self._config.matching
        found = find_alignment((a, b), self._symmetry, method, matching, images, self._device)
        self.num_unsettled += not found.matching.converged
        return found.network


def measure(
    config: MatrixConfig,
    networks: Sequence[LoggedNetwork],
    symmetry: Symmetry | None,
    material: Material,
    device: torch.device,
    known: Mapping[tuple[int, int], Walked],
    remember: Callable[[Walked, int], None],
) -> Survey:
    """Score every network, then walk between every two that are not known yet.

    Args:
        config: how.
        networks: of one architecture.
        symmetry: theirs; None: nothing is aligned.
        material: the data.
        device: where it is computed.
        known: members i, j -> what an earlier process measured between them.
        remember: is given each further pair, and how many matchings have not settled in this process so far.
    """
    members = _members(networks, material, device)
    aligner = _Aligner(config, symmetry, material, device)
    pair, reference = _pairing(config.pairwise.reference, networks, members, aligner)
    places = [(i, j) for i in range(len(networks)) for j in range(i + 1, len(networks))]
    walk_pair = _walker(config, networks, material, device)
    found = dict(known)
    left = [place for place in places if place not in found]
    options: dict[str, Any] = {"initial": len(found), "total": len(places)}
    for i, j in tqdm(left, desc="pairs", unit="pair", leave=False, disable=None, **options):
        found[i, j] = walk_pair(i, j, pair(i, j))
        remember(found[i, j], aligner.num_unsettled)
    score = score_name(material.test.labels)
    walked = tuple(found[place] for place in places)
    return Survey(config.pairwise, score, members, walked, reference, aligner.num_unsettled)


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
    """What gives members i and j as they are walked between, and the id of the common reference, if there is one."""
    if reference == PAIRWISE:
        return lambda i, j: (networks[i], aligner.towards(networks[i], networks[j])), ""
    ids = [member.run_id for member in members]
    place = max(range(len(ids)), key=lambda i: members[i].score) if reference == BEST else ids.index(reference)
    bar = tqdm(networks, desc="aligning", unit="network", leave=False, disable=None)
    aligned = [aligner.towards(networks[place], network) for network in bar]
    return lambda i, j: (aligned[i], aligned[j]), ids[place]


def _walker(
    config: MatrixConfig, networks: Sequence[LoggedNetwork], material: Material, device: torch.device
) -> Callable[[int, int, Pair], Walked]:
    """What measures one pair."""
    settings = config.pairwise
    network = networks[0].network().to(device)
    names, alphas = trainable(network), alpha_grid(settings.num_alphas)
    splits = {settings.split: (material.measured.images, material.measured.labels)}

    def walk_pair(i: int, j: int, pair: Pair) -> Walked:
        a, b = ({name: value.to(device) for name, value in end.state.items()} for end in pair)
        calibration = material.calibration(pair) if BN_POLICIES[settings.bn].needs_images else None
        path = measure_path(network, Segment(a, b), alphas, splits, settings.bn, calibration)
        before = networks[i].state, networks[j].state
        return Walked(i, j, path, *_lengths(pair[0].state, pair[1].state, before, names))

    return walk_pair


def _lengths(a: State, b: State, before: tuple[State, State], names: Sequence[str]) -> tuple[float, ...]:
    return (
        math.sqrt(weights.euclidean_squared(a, b, names)),
        math.sqrt(weights.euclidean_squared(*before, names)),
        weights.angle_deg(a, b, names),
        weights.angle_deg(*before, names),
    )
