"""Finds what a run holds that can be published: a network, a point of a path, or an ensemble."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from lmc_mlflow import weights
from lmc_mlflow.alignment import permute
from lmc_mlflow.alignment.symmetry import completed
from lmc_mlflow.batches import Images
from lmc_mlflow.config.path import EndsConfig
from lmc_mlflow.contract import Artifact, Kind, Tag
from lmc_mlflow.paths.points import BN_POLICIES, point_loader
from lmc_mlflow.query.bends import join_curve, load_bends
from lmc_mlflow.query.members import load_members
from lmc_mlflow.query.networks import LoggedNetwork, load_network, load_permutation, resolve_finished, sides_of_pair
from lmc_mlflow.query.run_tables import read_table
from lmc_mlflow.query.runs import Run
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.weights import State
from lmc_mlflow.workflows.alignment.find_alignment import find_symmetry
from lmc_mlflow.workflows.ensemble.kinds import KINDS_OF_MEMBERS, MeasuredMembers
from lmc_mlflow.workflows.ensemble.members import Members, load_curve
from lmc_mlflow.workflows.networks.pair_of_networks import both_training_sides, load_ends, load_splits, rebuild
from lmc_mlflow.workflows.star.sources import load_aligned_sources

LoadMember = Callable[[int], nn.Module]
"""Loads a member by its number; the next call may overwrite the module."""
SCORES = ("loss", "accuracy", "average_precision")
OF_ONE_PATH = ("lmc", "curve")
"""Samplings whose members are points between two networks."""
OF_NETWORKS = tuple(f"{prefix}test/{score}" for prefix in ("", "star/") for score in SCORES)
OF_POINTS = tuple(f"test/path_{score}" for score in SCORES)
OF_ENSEMBLES = ("nll", "mean_prediction_accuracy")
"""Metrics that tell how good a network, a point of a path, an ensemble is."""


@dataclass(frozen=True)
class Source:
    """What is published, before it is built.

    Attributes:
        networks: the logged networks that it is made of.
        members: of each member, the numbers of the networks that it lies between; a network alone is one member.
        recipe: what decides it besides the weights: name -> text.
        loader: (store, device, folder of the data) -> what loads its members.
        metrics: of its run, that tell how good it is.
        step: of these metrics; None: their last.
    """

    networks: tuple[LoggedNetwork, ...]
    members: tuple[tuple[int, ...], ...]
    recipe: Mapping[str, str]
    loader: Callable[[Store, torch.device, str], LoadMember]
    metrics: tuple[str, ...]
    step: int | None = None
    is_ensemble: bool = field(default=False)


def find_source(store: Store, run: Run, alpha: float | None) -> Source:
    """Find what a finished run holds.

    Args:
        store: where the run is.
        run: finished.
        alpha: of a path, the point.

    Raises:
        ValueError: the run holds no network, or needs an alpha, or has no use for one.
    """
    kind, label = run.data.tags.get(Tag.KIND, ""), f"run {run.info.run_id}"
    if kind == Kind.PAIR:
        sides = sides_of_pair(store.client, run)
        named = ", ".join(f"{side} {end.info.run_id}" for side, end in sorted(sides.items()))
        raise ValueError(f"{label} is a pair; give the run of one of its networks ({named}), or of a path between them")
    if kind not in SOURCES:
        raise ValueError(
            f"{label} is of kind {kind or 'none of ours'}; what can be published is of kind {', '.join(SOURCES)}"
        )
    if kind == Kind.PATH and alpha is None:
        raise ValueError(f"{label} is a path; say which of its points: alpha=0.5, or another number from 0 to 1")
    if kind != Kind.PATH and alpha is not None:
        raise ValueError(f"alpha={alpha:g} belongs to a path, and {label} is of kind {kind}; leave it out")
    found = SOURCES[kind](store, run, alpha or 0.0)
    for network in found.networks:
        network.refuse_if_diverged()
    return found


def _network(store: Store, run: Run, _alpha: float) -> Source:
    network = load_network(store.client, run.info.run_id)
    metrics = ("test/loss", "test/accuracy", "test/average_precision")
    return Source(
        (network,), ((0,),), {}, lambda _store, device, _root: lambda _i: network.network().to(device), metrics
    )


def _point(store: Store, run: Run, alpha: float) -> Source:
    """Find a point of a path, to B with its units permuted where the path is to it."""
    tags = run.data.tags
    a, b = load_ends(store, EndsConfig(run_a=tags[Tag.RUN_A], run_b=tags[Tag.RUN_B]))
    if Tag.ALIGN in tags:
        symmetry = find_symmetry(a)
        b = replace(b, state=permute(symmetry, b.state, completed(symmetry, load_permutation(store.client, run))))
    bn, bends = tags[Tag.BN], load_bends(store.client, run, a.state)
    if bn == "batch":
        raise ValueError(
            f"run {run.info.run_id}: with bn=batch an output depends on the images beside it; measure again "
            "with another bn, and publish that path"
        )

    def loader(store: Store, device: torch.device, data_root: str) -> LoadMember:
        images = _both_sides(store, (a, b), bn, device, data_root)
        curve = join_curve(run, (a.state, b.state), bends, device)
        load = point_loader(a.network().to(device), curve, bn, images)
        return lambda _i: load(alpha)

    is_measured = alpha in set(read_table(run.info.run_id, Artifact.PATH, store.uri)["alpha"])
    metrics = OF_POINTS if is_measured else ()
    recipe = {"alpha": repr(alpha), "bn": bn, **_recipe_of_bends(bends)}
    return Source((a, b), ((0, 1),), recipe, loader, metrics, round(1000 * alpha))


def _recipe_of_bends(bends: Sequence[State]) -> dict[str, str]:
    return {"bends": ",".join(map(weights.digest, bends))} if bends else {}


def _both_sides(
    store: Store, ends: tuple[LoggedNetwork, LoggedNetwork], bn: str, device: torch.device, data_root: str
) -> Images | None:
    """Load the images of both training sides, where the batch-norm policy looks at them."""
    return both_training_sides(load_splits(store, ends, data_root, device)) if BN_POLICIES[bn].needs_images else None


def _ensemble(store: Store, run: Run, _alpha: float) -> Source:
    """Find the members of an ensemble, which averages their probabilities."""
    logged = load_members(store.client, run)
    if logged.sampling == "star":
        networks = load_aligned_sources(store, logged.runs[0])
    else:
        networks = tuple(load_network(store.client, run_id) for run_id in logged.runs)
    curve = None if logged.curve is None else load_curve(store, resolve_finished(store.client, logged.curve), networks)
    members = Members(logged.sampling, networks, tuple(logged.alphas), tuple(logged.others or ()), curve)
    bn = run.data.params.get("members.bn", "interpolate") if logged.sampling in OF_ONE_PATH else ""

    def loader(store: Store, device: torch.device, data_root: str) -> LoadMember:
        images = None
        if logged.sampling in OF_ONE_PATH:
            images = _both_sides(store, (networks[0], networks[1]), bn, device, data_root)
        elif logged.sampling == "star":
            images = rebuild(store, networks[0], data_root, device).side(networks[0].side).images
        return KINDS_OF_MEMBERS[logged.sampling].load(MeasuredMembers(members, bn, {}, images), device)

    between = {
        "lmc": tuple((0, 1) for _ in members.alphas),
        "curve": tuple((0, 1) for _ in members.alphas),
        "seeds": tuple((i,) for i in range(len(networks))),
        "star": tuple((0, i) for i in members.others),
    }[logged.sampling]
    recipe = {"members": ",".join(map(repr, members.alphas)), "others": ",".join(map(str, members.others)), "bn": bn}
    recipe |= {} if curve is None else _recipe_of_bends(curve.bends)
    return Source(networks, between, recipe, loader, OF_ENSEMBLES, is_ensemble=True)


SOURCES: Mapping[str, Callable[[Store, Run, float], Source]] = {
    Kind.ENDPOINT: _network,
    Kind.ALIGNMENT: _network,
    Kind.STAR: _network,
    Kind.PRUNED: _network,
    Kind.PATH: _point,
    Kind.ENSEMBLE: _ensemble,
}
"""Kind of a run -> what finds what it holds."""
