"""Loads the networks that a star connects or is verified on, and their data."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from tqdm import tqdm

from lmc_mlflow.alignment import derive_symmetry, permute
from lmc_mlflow.alignment.symmetry import completed
from lmc_mlflow.config.commands import StarConfig
from lmc_mlflow.config.ensemble_and_prune import MembersConfig
from lmc_mlflow.config.star import SegmentsConfig, StarSourcesConfig, StarTrainingConfig
from lmc_mlflow.config.train_pair import BUDGETS, ELSEWHERE, OptimizationConfig
from lmc_mlflow.data.loading import BOTH, LabelledImages, ShiftedData
from lmc_mlflow.query.networks import LoggedNetwork, load_network
from lmc_mlflow.query.star_sources import load_star_sources
from lmc_mlflow.star_domains.segments import draw_points
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.workflows.networks.pair_of_networks import WAY_OUT, first_difference, rebuild
from lmc_mlflow.workflows.networks.selection import each_once, find_runs, refuse_mixed

STAR_SIDES = {"both": "both", "side_a": "A", "side_b": "B"}


@dataclass(frozen=True)
class StarInputs:
    """All that a star is made from.

    Attributes:
        sources: the networks to connect.
        held_out: the networks to verify it on.
        data: that the sources were trained on.
        side: `A`, `B` or `both`: whose training images the star sees.
        train: those images.
    """

    sources: tuple[LoggedNetwork, ...]
    held_out: tuple[LoggedNetwork, ...]
    data: ShiftedData
    side: str
    train: LabelledImages

    @property
    def networks(self) -> tuple[LoggedNetwork, ...]:
        """List the sources, then those held out."""
        return self.sources + self.held_out


def load_inputs(store: Store, config: StarConfig, device: torch.device) -> StarInputs:
    """Load the networks that a configuration names, verified to fit each other, and their data.

    Raises:
        ValueError: a run cannot be used, fewer than two sources, two that cannot be joined, or a network that is
            both source and held out.
    """
    wanted = config.joined
    sources = _networks(store, wanted.sources or _source_ids(store, wanted), "sources")
    sources = each_once(sources) if wanted.source_query else sources
    known = {network.run.info.run_id for network in sources}
    if len(sources) < 2:
        raise ValueError(f"source_query={wanted.source_query!r} finds {len(sources)} networks; a star joins at least 2")
    if len(known) < len(sources):
        raise ValueError("sources: two of the ids are of one run; name each once")
    held_out = _held_out(store, wanted, known)
    for other in (*sources[1:], *held_out):
        difference = first_difference(sources[0], other)
        if difference is not None:
            raise ValueError(
                f"runs {_id(sources[0])} and {_id(other)} cannot be joined by a star: {difference}; {WAY_OUT}"
            )
    _check_loss(sources[0], config)
    side = STAR_SIDES[config.segments.star_data]
    data = rebuild(store, sources[0], wanted.data_root, device, together=side == BOTH)
    for source in sources[1:]:
        if data.side(source.side).digest != source.digests["train"]:
            raise ValueError(
                f"run {_id(source)} was trained on another subset than {_id(sources[0])} (shift "
                f"{source.config.data.shift}, split_seed {source.config.data.split_seed} vs "
                f"{sources[0].config.data.shift}, {sources[0].config.data.split_seed}); choose sources of one split"
            )
    return StarInputs(tuple(sources), tuple(held_out), data, side, data.side(side))


def _source_ids(store: Store, wanted: StarSourcesConfig) -> list[str]:
    found = find_runs(store, wanted.source_query)
    refuse_mixed(found, wanted.source_query, wanted.mixed, option="source_query")
    return [run.info.run_id for run in found][: wanted.max_sources]


def _networks(store: Store, ids: Sequence[str], what: str) -> list[LoggedNetwork]:
    return [load_network(store.client, run_id) for run_id in tqdm(ids, desc=what, leave=False, disable=None)]


def _held_out(store: Store, wanted: StarSourcesConfig, sources: set[str]) -> list[LoggedNetwork]:
    ids: Sequence[str] = wanted.held_out
    if wanted.held_out_query:
        found = find_runs(store, wanted.held_out_query)
        ids = [run.info.run_id for run in found if run.info.run_id not in sources][: wanted.max_held_out]
        if not ids:
            raise ValueError(f"held_out_query={wanted.held_out_query!r} finds no network that is not a source")
    networks = _networks(store, ids, "held out")
    for network in networks:
        if _id(network) in sources:
            raise ValueError(f"run {_id(network)} is a source and held out; a star is verified on others")
    if len({_id(network) for network in networks}) < len(networks):
        raise ValueError("held_out: two of the ids are of one run; name each once")
    return networks


def _id(network: LoggedNetwork) -> str:
    return str(network.run.info.run_id)


def _check_loss(source: LoggedNetwork, config: StarConfig) -> None:
    if config.segments.own_loss_weight and source.spec.output != "log_probabilities":
        raise ValueError(
            f"own_loss_weight={config.segments.own_loss_weight}: {source.config.data.dataset} has several labels an "
            "image, whose loss is not linear in the outputs; leave it at 0"
        )


def with_full_ids(config: StarConfig, inputs: StarInputs) -> StarConfig:
    """Name the networks by their whole ids, which tell two stars apart, however the networks were found."""
    plain = StarSourcesConfig(
        sources=tuple(_id(network) for network in inputs.sources),
        held_out=tuple(_id(network) for network in inputs.held_out),
        data_root=config.joined.data_root,
    )
    return replace(config, joined=plain)


def optimization_of(wanted: StarTrainingConfig, source: OptimizationConfig) -> OptimizationConfig:
    """Take the settings of a star's training from its source, but for those that are given.

    Raises:
        ValueError: the two do not go together.
    """
    given = {name: value for name, value in vars(wanted).items() if value is not None}
    missing = [name for name in ("epochs", "batch_size", "lr", "optimizer") if name not in given]
    if source.loop == ELSEWHERE and missing:
        raise ValueError(
            f"the sources were trained elsewhere, nobody has said how; give the star's {', '.join(missing)}"
        )
    if given.get("optimizer", source.optimizer) != source.optimizer:  # momentum belongs to the rule it came with
        given = {"momentum": 0.0, "nesterov": False, **given}
    return replace(source, **{**dict.fromkeys(BUDGETS), "engine": "exact", **given})


def draw_members(
    store: Store, config: MembersConfig
) -> tuple[tuple[LoggedNetwork, ...], tuple[float, ...], tuple[int, ...]]:
    """Draw the members of an ensemble from the segments of a star (Sonthalia et al., section 5).

    Returns the star with its sources as they are aligned to it, and of each member its t and the number of its
    source. A source is drawn, all equally likely, then t from the uniform distribution.

    Raises:
        ValueError: no finished star, or a source cannot be used.
    """
    networks = load_aligned_sources(store, config.star)
    points = draw_points(SegmentsConfig(), len(networks) - 1, config.num_samples, config.samples_seed, "sample")
    return networks, tuple(t for _, t in points), tuple(1 + i for i, _ in points)


def load_aligned_sources(store: Store, star_id: str) -> tuple[LoggedNetwork, ...]:
    """Load a star, and its sources as they are aligned to it.

    Raises:
        ValueError: no finished star, or a source cannot be used.
    """
    star = load_network(store.client, star_id)
    ids, permutations = load_star_sources(store.client, star.run.info.run_id)
    network = star.network()
    images = torch.zeros(2, star.spec.channels, star.spec.height, star.spec.width)
    symmetry = derive_symmetry(network, images) if any(permutations) else None
    sources = []
    for run_id, order in zip(tqdm(ids, desc="loading sources", leave=False, disable=None), permutations, strict=True):
        source = load_network(store.client, run_id)
        if symmetry is not None:
            source = replace(source, state=permute(symmetry, source.state, completed(symmetry, order)))
        sources.append(source)
    return (star, *sources)
