"""Finds the members of an ensemble, and predicts the test set with each of them."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor
from tqdm import tqdm

from lmc_mlflow import weights
from lmc_mlflow.config.choices import lookup
from lmc_mlflow.config.ensemble_and_prune import MembersConfig
from lmc_mlflow.config.path import EndsConfig
from lmc_mlflow.data.loading import LabelledImages
from lmc_mlflow.evaluation import predict
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.points import BN_POLICIES, network_at, point_loader
from lmc_mlflow.query.networks import LoggedNetwork, load_network
from lmc_mlflow.query.prediction_cache import kept_keys, kept_predictions
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.tracking.prediction_cache import keep_predictions
from lmc_mlflow.workflows.networks.dataset_inputs import InputImages, training_images
from lmc_mlflow.workflows.networks.pair_of_networks import (
    both_training_sides,
    load_ends,
    load_splits,
    rebuild,
    split_inputs,
)
from lmc_mlflow.workflows.networks.selection import each_once, find_runs, refuse_mixed
from lmc_mlflow.workflows.star.sources import draw_members


@dataclass(frozen=True)
class Members:
    """The members of an ensemble: points of a path, networks, or points of the segments between a star and its sources.

    Attributes:
        sampling: `lmc`, `seeds` or `star`.
        networks: the ends of the path, the members, or the star and its sources as they are aligned to it.
        alphas: of the members on their segments.
        others: with `star`: the number of the network at alpha 1, for each member.
    """

    sampling: str
    networks: tuple[LoggedNetwork, ...]
    alphas: tuple[float, ...]
    others: tuple[int, ...] = ()

    @property
    def names(self) -> list[str]:
        """Name each member: its run id, or the pair's with the alpha, or the star's with the source's too."""
        if self.sampling == "seeds":
            return [network.run.info.run_id for network in self.networks]
        if self.sampling == "star":
            ids = [network.run.info.run_id for network in self.networks]
            return [f"{ids[0]}@{ids[i]}@{alpha:g}" for i, alpha in zip(self.others, self.alphas, strict=True)]
        return [f"{self.networks[0].split_run}@{alpha:g}" for alpha in self.alphas]


def find_members(store: Store, config: MembersConfig) -> Members:
    """Find the members that a configuration names, verified to be comparable.

    Raises:
        ValueError: a run cannot be used, fewer than two were found, or two were made for other test sets
            or classes.
    """
    if config.pair:
        ends = load_ends(store, EndsConfig(pair=config.pair))
        _refuse_several_labels(ends)
        alphas = [float(alpha) for alpha in alpha_grid(config.num_alphas)]
        inner = alphas if config.include_ends else alphas[1:-1]
        if len(inner) < 2:
            raise ValueError(
                f"num_alphas={config.num_alphas} without the ends leaves {len(inner)} member; give at least 4"
            )
        return Members("lmc", ends, tuple(inner))
    if config.star:
        found, positions, others = draw_members(store, config)
        _refuse_several_labels(found)
        return Members("star", found, positions, others)
    ids = list(config.runs) if config.runs else _query(store, config)
    networks = [
        load_network(store.client, run_id) for run_id in tqdm(ids, desc="loading members", leave=False, disable=None)
    ]
    _refuse_several_labels(networks)
    if len({network.run.info.run_id for network in networks}) < len(networks):
        raise ValueError("runs: two of the ids are of one run; name each once")
    networks = each_once(networks)
    if len(networks) < 2:
        raise ValueError(f"all {len(ids)} networks have the same weights; an ensemble needs at least two that differ")
    first = networks[0]
    for other in networks[1:]:
        for what, mine, theirs in (
            ("test set", first.digests["test"], other.digests["test"]),
            ("number of classes", first.spec.num_classes, other.spec.num_classes),
        ):
            if mine != theirs:
                raise ValueError(
                    f"runs {first.run.info.run_id} and {other.run.info.run_id} cannot be compared: "
                    f"{what}: {mine} vs {theirs}"
                )
    return Members("seeds", tuple(networks), ())


def _refuse_several_labels(networks: Sequence[LoggedNetwork]) -> None:
    for network in networks:
        if network.spec.output != "log_probabilities":
            raise ValueError(
                f"run {network.run.info.run_id} was trained on {network.config.data.dataset}, whose images have "
                "several labels each; votes, wrong agreement and wrong disagreement are defined for one label an "
                "image; ensembles are refused here, interpolate works"
            )


def _query(store: Store, config: MembersConfig) -> list[str]:
    found = find_runs(store, config.query)
    if len(found) < 2:
        problem = f"query {config.query!r} finds {len(found)} finished endpoint runs"
        raise ValueError(f"{problem}; an ensemble needs at least two")
    refuse_mixed(found, config.query, config.mixed, sides=True)
    return [run.info.run_id for run in found]


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


def predict_members(store: Store, members: Members, config: MembersConfig, device: torch.device) -> Predictions:
    """Predict with every member.

    A member's predictions are computed once and kept with its run, if the store allows it; from then on they are read
    back.
    """
    outputs: list[Tensor] = []
    inputs: dict[str, InputImages] = {}
    num_kept, can_keep = 0, True
    walker = lookup(WALKERS, members.sampling, "sampling")
    bar = tqdm(total=len(members.names), desc="members", unit="network", leave=False, disable=None)
    for name, member in zip(members.names, walker(store, members, config, device), strict=True):
        shape = len(member.test), members.networks[0].spec.num_classes
        inputs = {**member.inputs, "test": InputImages(member.test, members.networks[0].config.data)}
        kept = kept_predictions(store.client, member.run_id, member.key, shape) if member.is_kept else None
        if kept is None:
            kept = predict(member.network(), member.test.images)
            if kept.isnan().any():
                raise ValueError(
                    f"member {name} predicts values that are no numbers; leave it out (its batch norm may have met a "
                    "variance below 0: bn=recalibrate)"
                )
            can_keep = can_keep and keep_predictions(store.client, member.run_id, member.key, kept)
        else:
            num_kept += 1
        outputs.append(kept)
        bar.update()
    bar.close()
    return Predictions(torch.stack(outputs), inputs["test"].images.labels.cpu(), num_kept, inputs)


@dataclass(frozen=True)
class _Member:
    run_id: str
    key: str
    is_kept: bool
    network: Callable[[], torch.nn.Module]
    test: LabelledImages
    inputs: Mapping[str, InputImages] = field(default_factory=dict)


def _single_networks(store: Store, members: Members, config: MembersConfig, device: torch.device) -> Iterator[_Member]:
    tests: dict[tuple[str, str, int | None], LabelledImages] = {}
    for end in members.networks:
        section = end.config.data
        scaling = (end.digests["data"], section.normalization, section.image_size)
        if scaling not in tests:
            tests[scaling] = rebuild(store, end, config.data_root, device).test
        run_id, key = end.run.info.run_id, _key(end.state, end, "interpolate", "")
        is_kept = key in kept_keys(store.client, run_id)
        yield _Member(run_id, key, is_kept, partial(_loaded, end, device), tests[scaling])


def _loaded(end: LoggedNetwork, device: torch.device) -> torch.nn.Module:
    return end.network().to(device)


def _path_points(store: Store, members: Members, config: MembersConfig, device: torch.device) -> Iterator[_Member]:
    a, b = members.networks
    splits = load_splits(store, (a, b), config.data_root, device)
    needs_images = BN_POLICIES[config.bn].needs_images
    calibration = both_training_sides(splits) if needs_images else None
    seen = f"{splits['train_a'].digest} {splits['train_b'].digest}" if needs_images else ""
    inputs = split_inputs((a, b), splits) if needs_images else {}
    known = kept_keys(store.client, a.split_run)
    ends = [{name: value.to(device) for name, value in end.state.items()} for end in (a, b)]
    load_point = point_loader(a.network().to(device), Segment(*ends), config.bn, calibration)
    for alpha in members.alphas:
        key = _key(Segment(a.state, b.state).point(alpha), a, config.bn, f"{seen} {alpha}")
        yield _Member(a.split_run, key, key in known, partial(load_point, alpha), splits["test"], inputs)


def _star_points(store: Store, members: Members, config: MembersConfig, device: torch.device) -> Iterator[_Member]:
    """Recalibrate batch norm at every point, on the training images of the star."""
    star = members.networks[0]
    data = rebuild(store, star, config.data_root, device)
    train = data.side(star.side)
    known = kept_keys(store.client, star.run.info.run_id)
    states = [{name: value.to(device) for name, value in network.state.items()} for network in members.networks]
    scratch = star.network().to(device)
    for other, alpha in zip(members.others, members.alphas, strict=True):
        source = members.networks[other]
        key = _key(Segment(star.state, source.state).point(alpha), star, "recalibrate", train.digest)
        segment = Segment(states[0], states[other])
        load = partial(network_at, scratch, segment, alpha, "recalibrate", train.images)
        inputs = {"train": training_images(star, train)}
        yield _Member(star.run.info.run_id, key, key in known, load, data.test, inputs)


Walker = Callable[[Store, Members, MembersConfig, torch.device], Iterator[_Member]]
WALKERS: Mapping[str, Walker] = {"lmc": _path_points, "seeds": _single_networks, "star": _star_points}


def _key(state: weights.State, end: LoggedNetwork, bn: str, seen: str) -> str:
    """Digest all that predictions depend on: weights, architecture, test images and their scaling, batch norm."""
    digest = hashlib.sha256(weights.digest(state).encode())
    section = end.config.data
    for part in (end.spec.model, end.digests["test"], end.digests["data"], section.normalization, bn, seen):
        digest.update(f"|{part}".encode())
    return digest.hexdigest()[:32]
