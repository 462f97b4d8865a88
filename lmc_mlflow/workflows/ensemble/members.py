"""Finds the members of an ensemble."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tqdm import tqdm

from lmc_mlflow.config.ensemble_and_prune import MembersConfig
from lmc_mlflow.config.path import EndsConfig
from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.paths.curves import CURVES, Curve, Segment
from lmc_mlflow.query.bends import load_bends
from lmc_mlflow.query.networks import LoggedNetwork, load_network, resolve_finished
from lmc_mlflow.query.runs import Run
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.weights import State
from lmc_mlflow.workflows.networks.pair_of_networks import (
    load_ends,
)
from lmc_mlflow.workflows.networks.selection import each_once, find_runs, refuse_mixed
from lmc_mlflow.workflows.path.curve.curve_training import TRAIN_SECONDS, refuse_own_statistics
from lmc_mlflow.workflows.star.sources import draw_members


@dataclass(frozen=True)
class MembersCurve:
    """The curve whose points members are.

    Attributes:
        run_id: of its path.
        form: `bezier` or `polygon`.
        bends: on the CPU.
        train_seconds: that their training took.
    """

    run_id: str
    form: str
    bends: tuple[State, ...]
    train_seconds: float


@dataclass(frozen=True)
class Members:
    """The members of an ensemble: points of a path, networks, or points of the segments between a star and its sources.

    Attributes:
        sampling: `lmc`, `seeds`, `star` or `curve`.
        networks: the ends of the path or curve, the members, or the star and its sources as they are aligned to it.
        alphas: of the members on their segments.
        others: with `star`: the number of the network at alpha 1, for each member.
        curve: with `curve`.
    """

    sampling: str
    networks: tuple[LoggedNetwork, ...]
    alphas: tuple[float, ...]
    others: tuple[int, ...] = ()
    curve: MembersCurve | None = None

    @property
    def names(self) -> list[str]:
        """Name each member: its run id, the pair's or the curve's with the alpha, the star's with the source's too."""
        if self.sampling == "seeds":
            return [network.run.info.run_id for network in self.networks]
        if self.sampling == "star":
            ids = [network.run.info.run_id for network in self.networks]
            return [f"{ids[0]}@{ids[i]}@{alpha:g}" for i, alpha in zip(self.others, self.alphas, strict=True)]
        if self.curve is not None:
            return [f"{self.curve.run_id}@{alpha:g}" for alpha in self.alphas]
        return [f"{self.networks[0].split_run}@{alpha:g}" for alpha in self.alphas]

    @property
    def curve_tags(self) -> dict[str, str]:
        """The tags that name the curve and its ends; none where there is no curve."""
        if self.curve is None:
            return {}
        a, b = (network.run.info.run_id for network in self.networks)
        return {Tag.CURVE: self.curve.run_id, Tag.RUN_A: a, Tag.RUN_B: b}

    def path_on(self, device: torch.device) -> Curve:
        """Make the segment, or the curve, whose points the members are, on a device."""
        a, b = (network.state for network in self.networks)
        bends = () if self.curve is None else self.curve.bends
        controls = tuple({name: value.to(device) for name, value in state.items()} for state in (a, *bends, b))
        return Segment(*controls) if self.curve is None else CURVES[self.curve.form](controls)


def find_members(store: Store, config: MembersConfig) -> Members:
    """Find the members that a configuration names, verified to be comparable.

    Raises:
        ValueError: a run cannot be used, fewer than two were found, or two were made for other test sets
            or classes.
    """
    if config.pair:
        ends = load_ends(store, EndsConfig(pair=config.pair))
        _refuse_several_labels(ends)
        return Members("lmc", ends, _alphas(config))
    if config.curve:
        return _points_of_curve(store, config)
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


def _alphas(config: MembersConfig) -> tuple[float, ...]:
    alphas = [float(alpha) for alpha in alpha_grid(config.num_alphas)]
    inner = alphas if config.include_ends else alphas[1:-1]
    if len(inner) < 2:
        raise ValueError(f"num_alphas={config.num_alphas} without the ends leaves {len(inner)} member; give at least 4")
    return tuple(inner)


def _points_of_curve(store: Store, config: MembersConfig) -> Members:
    run = resolve_finished(store.client, config.curve)
    tags = run.data.tags
    if tags.get(Tag.KIND) != Kind.PATH or Tag.PATH not in tags:
        raise ValueError(
            f"run {run.info.run_id} is no path along a curve; give the run of interpolate path=bezier, or "
            "pair=<pair run id> for a straight path"
        )
    ends = load_ends(store, EndsConfig(run_a=tags[Tag.RUN_A], run_b=tags[Tag.RUN_B]))
    _refuse_several_labels(ends)
    refuse_own_statistics(tags[Tag.PATH], config.bn, ends[0])
    return Members("curve", ends, _alphas(config), curve=load_curve(store, run, ends))


def load_curve(store: Store, run: Run, ends: Sequence[LoggedNetwork]) -> MembersCurve:
    """Load the curve of a logged path.

    Raises:
        ValueError: a bend is missing or altered.
    """
    bends = load_bends(store.client, run, ends[0].state)
    seconds = run.data.metrics.get(TRAIN_SECONDS, 0.0)
    return MembersCurve(run.info.run_id, run.data.tags[Tag.PATH], bends, seconds)


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
