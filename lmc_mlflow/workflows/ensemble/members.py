"""Finds the members of an ensemble."""

from collections.abc import Sequence
from dataclasses import dataclass

from tqdm import tqdm

from lmc_mlflow.config.ensemble_and_prune import MembersConfig
from lmc_mlflow.config.path import EndsConfig
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.query.networks import LoggedNetwork, load_network
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.workflows.networks.pair_of_networks import (
    load_ends,
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
