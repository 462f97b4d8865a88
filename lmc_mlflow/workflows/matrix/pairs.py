"""Measures the segments between every two of many networks, aligned before or not."""

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from tqdm import tqdm

from lmc_mlflow import weights
from lmc_mlflow.alignment import Matching, Symmetry, permute
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
from lmc_mlflow.workers.spread import Workers, in_order
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
        other_split: the further test set that the numbers are of; empty: they are of the split that is judged.
    """

    settings: PairwiseConfig
    score: str
    members: tuple[Member, ...]
    pairs: tuple[PairMeasurement, ...]
    reference: str
    num_unsettled: int
    other_split: str = ""

    @property
    def split(self) -> str:
        """The split that the numbers are of."""
        return self.other_split or self.settings.split


@dataclass(frozen=True)
class PairTask:
    """Two members to measure: i < j, and where all are aligned to a reference, how both are."""

    i: int
    j: int
    matchings: tuple[Matching | None, Matching | None] | None = None


@dataclass(frozen=True)
class MeasuredNetworks:
    """What a matrix is measured on, before it is on a device.

    Attributes:
        config: how.
        networks: of one architecture.
        symmetry: theirs; None: nothing is aligned.
        material: the data.
    """

    config: MatrixConfig
    networks: tuple[LoggedNetwork, ...]
    symmetry: Symmetry | None
    material: Material

    def on(self, device: torch.device) -> "PairMeasurer":
        """Bring the data to a device."""
        return PairMeasurer(replace(self, material=self.material.to(device)), device)


class PairMeasurer:
    """Scores networks, aligns them and measures the segments between them, on one device."""

    def __init__(self, measured: MeasuredNetworks, device: torch.device) -> None:
        self._measured = measured
        self._device = device
        self._network = measured.networks[0].network().to(device)
        self._labels = labels_of(measured.networks)

    def network(self, i: int) -> Member:
        """Score a network on the test set."""
        network, test = self._measured.networks[i], self._measured.material.test
        loss, score = evaluate(network.network().to(self._device), test.images, test.labels)
        constant = score_name(test.labels) == ACCURACY and is_constant(score, test.labels.cpu().numpy())
        return Member(network.run.info.run_id, self._labels[i], loss, score, constant)

    def alignment(self, pair: tuple[int, int]) -> Matching | None:
        """Match the second network's units to the first's; None where nothing is aligned."""
        first, second = pair
        symmetry, config = self._measured.symmetry, self._measured.config
        if symmetry is None or first == second:
            return None
        a, b = self._measured.networks[first], self._measured.networks[second]
        images = self._measured.material.sides.get(a.digests["train"])  # loaded where the method needs images
        found = find_alignment((a, b), symmetry, config.pairwise.align, config.matching, images, self._device)
        return found.matching

    def pair(self, task: PairTask) -> tuple[PairMeasurement, int]:
        """Measure the segment between two members; returns the number of unsettled matchings too."""
        own = task.matchings is None
        matchings = (None, self.alignment((task.i, task.j))) if task.matchings is None else task.matchings
        a, b = (self._aligned(i, matching) for i, matching in zip((task.i, task.j), matchings, strict=True))
        path = self._walk(a, b)
        before = self._measured.networks[task.i].state, self._measured.networks[task.j].state
        lengths = _lengths(a.state, b.state, before, trainable(self._network))
        return PairMeasurement(task.i, task.j, path, *lengths), num_unsettled(matchings) if own else 0

    def _aligned(self, i: int, matching: Matching | None) -> LoggedNetwork:
        network, symmetry = self._measured.networks[i], self._measured.symmetry
        if matching is None or symmetry is None:
            return network
        return replace(network, state=permute(symmetry, network.state, matching.permutations))

    def _walk(self, a: LoggedNetwork, b: LoggedNetwork) -> Path:
        settings, material = self._measured.config.pairwise, self._measured.material
        first, second = ({name: value.to(self._device) for name, value in end.state.items()} for end in (a, b))
        splits = {settings.split: (material.measured.images, material.measured.labels)}
        splits |= {name: (own.images, own.labels) for name, own in material.others.items() if name != settings.split}
        calibration = material.calibration((a, b)) if BN_POLICIES[settings.bn].needs_images else None
        alphas = alpha_grid(settings.num_alphas)
        return measure_path(self._network, Segment(first, second), alphas, splits, settings.bn, calibration)


class Pairing:
    """Scores and aligns the networks of a matrix, and measures their pairs as workers are free.

    Attributes:
        members: the networks with their scores.
        reference: run id of the network that all are aligned to; empty: none.
        num_unsettled: matchings so far that have not settled.
    """

    def __init__(self, workers: Workers[PairMeasurer], num_networks: int, reference: str) -> None:
        """Score every network, and align all to the reference if there is one.

        Args:
            workers: measure.
            num_networks: of the matrix.
            reference: `pairwise`, `best` or a run id.
        """
        self.reference, self.num_unsettled = "", 0
        self._workers = workers
        self._matchings: list[Matching | None] | None = None
        numbers = range(num_networks)
        self.members = tuple(in_order(workers.map(PairMeasurer.network, numbers)))
        if reference != PAIRWISE:
            ids = [member.run_id for member in self.members]
            place = max(numbers, key=lambda i: self.members[i].score) if reference == BEST else ids.index(reference)
            found = workers.map(PairMeasurer.alignment, [(place, i) for i in numbers])
            bar = tqdm(found, desc="aligning", unit="network", total=num_networks, leave=False, disable=None)
            self._matchings = in_order(bar)
            self.reference, self.num_unsettled = ids[place], num_unsettled(self._matchings)

    def pairs(self) -> list[tuple[int, int]]:
        """List every two members i < j."""
        return list(itertools.combinations(range(len(self.members)), 2))

    def measure(self, known: Collection[tuple[int, int]]) -> Iterator[PairMeasurement]:
        """Measure the pairs that are not known yet; yields them as they are ready."""
        left = [pair for pair in self.pairs() if pair not in known]
        of = self._matchings
        tasks = [PairTask(i, j, None if of is None else (of[i], of[j])) for i, j in left]
        options: dict[str, Any] = {"initial": len(known), "total": len(known) + len(left)}
        found = self._workers.map(PairMeasurer.pair, tasks)
        for _, (pair, unsettled) in tqdm(found, desc="pairs", unit="pair", leave=False, disable=None, **options):
            self.num_unsettled += unsettled
            yield pair


def num_unsettled(matchings: Iterable[Matching | None]) -> int:
    """Count the matchings that have not settled."""
    return sum(matching is not None and not matching.converged for matching in matchings)


def _lengths(a: State, b: State, before: tuple[State, State], names: Sequence[str]) -> tuple[float, ...]:
    return (
        math.sqrt(weights.euclidean_squared(a, b, names)),
        math.sqrt(weights.euclidean_squared(*before, names)),
        weights.angle_deg(a, b, names),
        weights.angle_deg(*before, names),
    )
