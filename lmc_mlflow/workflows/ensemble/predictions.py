"""Predicts the test set with each member of an ensemble, and keeps the predictions with the members' runs."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lmc_mlflow import weights
from lmc_mlflow.batches import Images
from lmc_mlflow.config.choices import lookup
from lmc_mlflow.config.ensemble_and_prune import MembersConfig
from lmc_mlflow.data.loading import LabelledImages, move_all
from lmc_mlflow.evaluation import predict
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.points import BN_POLICIES, network_at, point_loader
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.query.prediction_cache import kept_keys, kept_predictions
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.tracking.prediction_cache import keep_predictions
from lmc_mlflow.workflows.ensemble.members import Members
from lmc_mlflow.workflows.lifecycle.devices import SharedWork
from lmc_mlflow.workflows.networks.dataset_inputs import InputImages, training_images
from lmc_mlflow.workflows.networks.pair_of_networks import both_training_sides, load_splits, rebuild, split_inputs


@dataclass(frozen=True)
class Predictions:
    """What the members predict.

    Attributes:
        outputs: (M, N, K) log-probabilities.
        labels: (N,).
        num_kept: members whose predictions were read back.
        inputs: context -> images that the predictions depend on.
    """

    outputs: Tensor
    labels: Tensor
    num_kept: int
    inputs: Mapping[str, InputImages]


@dataclass(frozen=True)
class _Member:
    """What is known of a member before it predicts.

    Attributes:
        run_id: its predictions are kept with.
        key: they are kept under.
        is_kept: whether they are.
        test: the images that it predicts.
        calibration: the images that its batch norm looks at.
        inputs: context -> the training images that its predictions depend on.
    """

    run_id: str
    key: str
    is_kept: bool
    test: LabelledImages
    calibration: Images | None = None
    inputs: Mapping[str, InputImages] = field(default_factory=dict)


@dataclass(frozen=True)
class MeasuredMembers:
    """What predictions are made from, before it is on a device.

    Attributes:
        members: all.
        bn: how batch norm's statistics are set at a point of a path.
        tests: number of a member -> the images that it predicts.
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

    def member(self, number: int) -> Tensor:
        """Predict with a member: outputs (N, K) on the CPU."""
        return predict(self._load(number), self._tests[str(number)].images)


def predict_members(store: Store, members: Members, config: MembersConfig, work: SharedWork) -> Predictions:
    """Predict with every member.

    A member's predictions are computed once and kept with its run, if the store allows it; from then on they are read
    back.
    """
    outputs: dict[int, Tensor] = {}
    todo: dict[int, _Member] = {}
    inputs: dict[str, InputImages] = {}
    for i, member in enumerate(
        lookup(KINDS_OF_MEMBERS, members.sampling, "sampling").look_up(store, members, config, work.device)
    ):
        shape = len(member.test), members.networks[0].spec.num_classes
        inputs = {**member.inputs, "test": InputImages(member.test, members.networks[0].config.data)}
        kept = kept_predictions(store.client, member.run_id, member.key, shape) if member.is_kept else None
        if kept is None:
            todo[i] = member
        else:
            outputs[i] = kept
    num_kept = len(outputs)
    if todo:
        outputs |= _predict(store, members, config.bn, todo, work)
    labels = inputs["test"].images.labels.cpu()
    return Predictions(torch.stack([outputs[i] for i in sorted(outputs)]), labels, num_kept, inputs)


def _predict(
    store: Store, members: Members, bn: str, todo: Mapping[int, _Member], work: SharedWork
) -> dict[int, Tensor]:
    """Predict with some members, by their number, and keep the predictions."""
    outputs: dict[int, Tensor] = {}
    can_keep = True
    numbers = list(todo)
    tests = {str(i): member.test for i, member in todo.items()}
    options: dict[str, Any] = {"initial": len(members.names) - len(todo), "total": len(members.names)}
    with work.workers(MeasuredMembers(members, bn, tests, todo[numbers[0]].calibration)) as workers:
        found = workers.map(MemberPredictor.member, numbers)
        for place, predicted in tqdm(found, desc="members", unit="network", leave=False, disable=None, **options):
            i = numbers[place]
            if predicted.isnan().any():
                raise ValueError(
                    f"member {members.names[i]} predicts values that are no numbers; leave it out (its batch norm may "
                    "have met a variance below 0: bn=recalibrate)"
                )
            can_keep = can_keep and keep_predictions(store.client, todo[i].run_id, todo[i].key, predicted)
            outputs[i] = predicted
    return outputs


def _look_up_networks(store: Store, members: Members, config: MembersConfig, device: torch.device) -> Iterator[_Member]:
    tests: dict[tuple[str, str], LabelledImages] = {}
    for end in members.networks:
        section = end.config.data
        scaling = (end.digests["data"], section.scaling)
        if scaling not in tests:
            tests[scaling] = rebuild(store, end, config.data_root, device).test
        run_id, key = end.run.info.run_id, _key(end.state, end, "interpolate", "")
        yield _Member(run_id, key, key in kept_keys(store.client, run_id), tests[scaling])


def _load_networks(measured: MeasuredMembers, device: torch.device) -> Callable[[int], nn.Module]:
    return lambda i: measured.members.networks[i].network().to(device)


def _look_up_path_points(
    store: Store, members: Members, config: MembersConfig, device: torch.device
) -> Iterator[_Member]:
    a, b = members.networks
    keeper = a.split_run if members.curve is None else members.curve.run_id
    splits = load_splits(store, (a, b), config.data_root, device)
    needs_images = BN_POLICIES[config.bn].needs_images
    calibration = both_training_sides(splits) if needs_images else None
    seen = f"{splits['train_a'].digest} {splits['train_b'].digest}" if needs_images else ""
    inputs = split_inputs((a, b), splits) if needs_images else {}
    known = kept_keys(store.client, keeper)
    curve = members.path_on(torch.device("cpu"))
    for alpha in members.alphas:
        key = _key(curve.point(alpha), a, config.bn, f"{seen} {alpha}")
        yield _Member(keeper, key, key in known, splits["test"], calibration, inputs)


def _load_path_points(measured: MeasuredMembers, device: torch.device) -> Callable[[int], nn.Module]:
    members = measured.members
    network, path = members.networks[0].network().to(device), members.path_on(device)
    load_point = point_loader(network, path, measured.bn, measured.calibration)
    return lambda i: load_point(members.alphas[i])


def _look_up_star_points(
    store: Store, members: Members, config: MembersConfig, device: torch.device
) -> Iterator[_Member]:
    """Recalibrate batch norm at every point, on the training images of the star."""
    star = members.networks[0]
    data = rebuild(store, star, config.data_root, device)
    train = data.side(star.side)
    known = kept_keys(store.client, star.run.info.run_id)
    inputs = {"train": training_images(star, train)}
    for other, alpha in zip(members.others, members.alphas, strict=True):
        point = Segment(star.state, members.networks[other].state).point(alpha)
        key = _key(point, star, "recalibrate", train.digest)
        yield _Member(star.run.info.run_id, key, key in known, data.test, train.images, inputs)


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
        look_up: yields what is known of every member; device: where data go.
        load: gives what loads a member by its number, on a device.
    """

    look_up: Callable[[Store, Members, MembersConfig, torch.device], Iterator[_Member]]
    load: Callable[[MeasuredMembers, torch.device], Callable[[int], nn.Module]]


KINDS_OF_MEMBERS: Mapping[str, _KindOfMembers] = {
    "lmc": _KindOfMembers(_look_up_path_points, _load_path_points),
    "curve": _KindOfMembers(_look_up_path_points, _load_path_points),
    "seeds": _KindOfMembers(_look_up_networks, _load_networks),
    "star": _KindOfMembers(_look_up_star_points, _load_star_points),
}


def _key(state: weights.State, end: LoggedNetwork, bn: str, seen: str) -> str:
    """Digest all that predictions depend on: weights, architecture, test images and their scaling, batch norm."""
    digest = hashlib.sha256(weights.digest(state).encode())
    section = end.config.data
    for part in (end.spec.model, end.digests["test"], end.digests["data"], section.scaling, bn, seen):
        digest.update(f"|{part}".encode())
    return digest.hexdigest()[:32]
