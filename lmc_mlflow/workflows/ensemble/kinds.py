"""The table of kinds of members of an ensemble: what is known of them before they predict, and how they are loaded."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from lmc_mlflow import weights
from lmc_mlflow.batches import Images
from lmc_mlflow.config.choices import lookup
from lmc_mlflow.config.ensemble_and_prune import MembersConfig
from lmc_mlflow.config.other_data import OtherDataConfig
from lmc_mlflow.data.labelled import LabelledImages, move_all
from lmc_mlflow.evaluation import predict
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.points import BN_POLICIES, network_at, point_loader
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.query.prediction_cache import kept_keys
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.workflows.ensemble.members import Members
from lmc_mlflow.workflows.networks.dataset_inputs import InputImages, training_images
from lmc_mlflow.workflows.networks.other_tests import other_tests
from lmc_mlflow.workflows.networks.pair_of_networks import both_training_sides, load_splits, rebuild, split_inputs

LOGGED = ""
"""The logged test set among all that members predict; the others have the names of their splits."""
Task = tuple[int, tuple[str, ...]]
"""The number of a member, and the test sets that it is to predict."""


@dataclass(frozen=True)
class Asked:
    """What members are asked to predict.

    Attributes:
        config: which members.
        others: the further test sets.
        device: where data go.
    """

    config: MembersConfig
    others: OtherDataConfig
    device: torch.device

    def tests(self, end: LoggedNetwork, test: LabelledImages) -> dict[str, InputImages]:
        """Give the logged test set of a network, and the further ones that are scaled as its own."""
        found = {LOGGED: InputImages(test, end.config.data)}
        if self.others.test_on:
            found |= other_tests(self.others, end, test, self.config.data_root, self.device)
        return found


@dataclass(frozen=True)
class Member:
    """What is known of a member before it predicts.

    Attributes:
        run_id: its predictions are kept with.
        keys: test set -> what its predictions are kept under.
        kept: the keys of all that are kept with its run.
        tests: test set -> images that it predicts.
        calibration: the images that its batch norm looks at.
        inputs: context -> the training images that its predictions depend on.
    """

    run_id: str
    keys: Mapping[str, str]
    kept: frozenset[str]
    tests: Mapping[str, InputImages]
    calibration: Images | None = None
    inputs: Mapping[str, InputImages] = field(default_factory=dict)


@dataclass(frozen=True)
class MeasuredMembers:
    """What predictions are made from, before it is on a device.

    Attributes:
        members: all.
        bn: how batch norm's statistics are set at a point of a path.
        tests: number of a member, `/` and the test set -> the images that it predicts.
        calibration: the images that batch norm looks at.
    """

    members: Members
    bn: str
    tests: Mapping[str, LabelledImages]
    calibration: Images | None

    def on(self, device: torch.device) -> "MemberPredictor":
        """Bring the data to a device."""
        calibration = None if self.calibration is None else self.calibration.to(device)
        return MemberPredictor(replace(self, tests=move_all(self.tests, device), calibration=calibration), device)


class MemberPredictor:
    """Predicts with one member after the other, on one device."""

    def __init__(self, measured: MeasuredMembers, device: torch.device) -> None:
        self._tests = measured.tests
        self._load = lookup(KINDS_OF_MEMBERS, measured.members.sampling, "sampling").load(measured, device)

    def member(self, task: Task) -> dict[str, Tensor]:
        """Predict with a member: test set -> outputs (N, K) on the CPU."""
        number, wanted = task
        network = self._load(number)
        return {test: predict(network, self._tests[place_of(number, test)].images) for test in wanted}


def place_of(number: int, test: str) -> str:
    """Name the images of a member's test set."""
    return f"{number}/{test}"


def _look_up_networks(store: Store, members: Members, asked: Asked) -> Iterator[Member]:
    found: dict[tuple[str, str], dict[str, InputImages]] = {}
    for end in members.networks:
        scaling = (end.digests["data"], end.config.data.scaling)
        if scaling not in found:
            found[scaling] = asked.tests(end, rebuild(store, end, asked.config.data_root, asked.device).test)
        tests, run_id = found[scaling], end.run.info.run_id
        keys = _keys(end.state, end, "interpolate", "", tests)
        yield Member(run_id, keys, frozenset(kept_keys(store.client, run_id)), tests)


def _load_networks(measured: MeasuredMembers, device: torch.device) -> Callable[[int], nn.Module]:
    return lambda i: measured.members.networks[i].network().to(device)


def _look_up_path_points(store: Store, members: Members, asked: Asked) -> Iterator[Member]:
    (a, b), config = members.networks, asked.config
    splits = load_splits(store, (a, b), config.data_root, asked.device)
    tests = asked.tests(a, splits["test"])
    needs_images = BN_POLICIES[config.bn].needs_images
    calibration = both_training_sides(splits) if needs_images else None
    seen = f"{splits['train_a'].digest} {splits['train_b'].digest}" if needs_images else ""
    inputs = split_inputs((a, b), splits) if needs_images else {}
    keeper = a.split_run if members.curve is None else members.curve.run_id
    known, path = frozenset(kept_keys(store.client, keeper)), members.path_on(torch.device("cpu"))
    for alpha in members.alphas:
        keys = _keys(path.point(alpha), a, config.bn, f"{seen} {alpha}", tests)
        yield Member(keeper, keys, known, tests, calibration, inputs)


def _load_path_points(measured: MeasuredMembers, device: torch.device) -> Callable[[int], nn.Module]:
    members = measured.members
    network, path = members.networks[0].network().to(device), members.path_on(device)
    load_point = point_loader(network, path, measured.bn, measured.calibration)
    return lambda i: load_point(members.alphas[i])


def _look_up_star_points(store: Store, members: Members, asked: Asked) -> Iterator[Member]:
    """Recalibrate batch norm at every point, on the training images of the star."""
    star = members.networks[0]
    data = rebuild(store, star, asked.config.data_root, asked.device)
    train, tests = data.side(star.side), asked.tests(star, data.test)
    known = frozenset(kept_keys(store.client, star.run.info.run_id))
    inputs = {"train": training_images(star, train)}
    for other, alpha in zip(members.others, members.alphas, strict=True):
        point = Segment(star.state, members.networks[other].state).point(alpha)
        keys = _keys(point, star, "recalibrate", train.digest, tests)
        yield Member(star.run.info.run_id, keys, known, tests, train.images, inputs)


def _load_star_points(measured: MeasuredMembers, device: torch.device) -> Callable[[int], nn.Module]:
    members = measured.members
    states, scratch = _states(members, device), members.networks[0].network().to(device)

    def load(i: int) -> nn.Module:
        segment = Segment(states[0], states[members.others[i]])
        return network_at(scratch, segment, members.alphas[i], "recalibrate", measured.calibration)

    return load


def _states(members: Members, device: torch.device) -> list[weights.State]:
    return [{name: value.to(device) for name, value in network.state.items()} for network in members.networks]


@dataclass(frozen=True)
class _KindOfMembers:
    """A row of the table of kinds of members, by their sampling.

    Attributes:
        look_up: yields what is known of every member.
        load: gives what loads a member by its number, on a device.
    """

    look_up: Callable[[Store, Members, Asked], Iterator[Member]]
    load: Callable[[MeasuredMembers, torch.device], Callable[[int], nn.Module]]


KINDS_OF_MEMBERS: Mapping[str, _KindOfMembers] = {
    "lmc": _KindOfMembers(_look_up_path_points, _load_path_points),
    "curve": _KindOfMembers(_look_up_path_points, _load_path_points),
    "seeds": _KindOfMembers(_look_up_networks, _load_networks),
    "star": _KindOfMembers(_look_up_star_points, _load_star_points),
}


def _keys(
    state: weights.State, end: LoggedNetwork, bn: str, seen: str, tests: Mapping[str, InputImages]
) -> dict[str, str]:
    """Digest all that predictions depend on: weights, architecture, test images and their scaling, batch norm."""
    weights_digest, section = weights.digest(state), end.config.data
    keys = {}
    for name, test in tests.items():
        digest = hashlib.sha256(weights_digest.encode())
        for part in (end.spec.model, test.images.digest, end.digests["data"], section.scaling, bn, seen):
            digest.update(f"|{part}".encode())
        keys[name] = digest.hexdigest()[:32]
    return keys
