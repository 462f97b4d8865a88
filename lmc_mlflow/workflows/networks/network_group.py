"""Loads the networks and data of a matrix or plane."""

import hashlib
import logging
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

import pandas as pd
import torch
from tqdm import tqdm

from lmc_mlflow.batches import Images
from lmc_mlflow.config.canonical import fingerprint, parameters
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.network_groups import SurveyedConfig
from lmc_mlflow.contract import Tag
from lmc_mlflow.data.labelled import LabelledImages, move_all
from lmc_mlflow.data.loading import ShiftedData
from lmc_mlflow.data.streaming import join
from lmc_mlflow.findings.conditions import CONDITIONS, describe, distinguishing
from lmc_mlflow.paths.measures import measures_beside
from lmc_mlflow.query.networks import LoggedNetwork, load_network
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.workflows.networks.pair_of_networks import WAY_OUT, first_difference, rebuild, require_training
from lmc_mlflow.workflows.networks.run_names import short_name
from lmc_mlflow.workflows.networks.selection import each_once, find_runs, refuse_mixed

logger = logging.getLogger(__name__)
PREFIX = 6
"""Characters of a run's id that are added to names which would be equal otherwise."""


def find_networks(store: Store, config: SurveyedConfig) -> tuple[list[LoggedNetwork], int]:
    """Load the networks that a configuration names, check that they fit one another, and count those it leaves out.

    Raises:
        ValueError: a run cannot be used, fewer than two were found, or the first two that differ.
    """
    ids, num_left_out = (list(config.runs), 0) if config.runs else _query(store, config)
    networks = load_compatible(store, ids)
    if config.query:
        networks = each_once(networks)
        if len(networks) < 2:
            raise ValueError(f"query {config.query!r} finds one network {len(ids)} times; at least two are needed")
    if len({network.run.info.run_id for network in networks}) < len(networks):
        raise ValueError("runs: two of the ids are of one run; name each once")
    return networks, num_left_out


def load_compatible(store: Store, ids: Sequence[str]) -> list[LoggedNetwork]:
    """Load the networks of some runs and check that they have one architecture and one data set.

    Raises:
        ValueError: a run cannot be used, or the first network that does not fit the first of all.
    """
    bar = tqdm(ids, desc="loading networks", unit="network", leave=False, disable=None)
    networks = [load_network(store.client, run_id) for run_id in bar]
    for other in networks[1:]:
        difference = first_difference(networks[0], other)
        if difference is not None:
            first, second = networks[0].run.info.run_id, other.run.info.run_id
            raise ValueError(f"runs {first} and {second} cannot be joined: {difference}; {WAY_OUT}")
    return networks


def _query(store: Store, config: SurveyedConfig) -> tuple[list[str], int]:
    runs = find_runs(store, config.query, any_kind=True)
    if len(runs) < 2:
        raise ValueError(f"query {config.query!r} finds {len(runs)} finished runs; at least two are needed")
    refuse_mixed(runs, config.query, config.mixed)
    found = [run.info.run_id for run in runs]
    num_left_out = max(0, len(found) - config.max_runs)
    if num_left_out:
        logger.warning(
            "query %r finds %d runs: the oldest %d are measured, %d are left out; max_runs=%d takes all",
            config.query, len(found), config.max_runs, num_left_out, len(found),
        )  # fmt: skip
    return found[: config.max_runs], num_left_out


@dataclass(frozen=True)
class Material:
    """The data on which networks are measured, on the device.

    Attributes:
        test: the test set.
        measured: the split on which paths are measured.
        sides: digest -> training subset, of the networks that were asked for.
        others: split -> further test set.
    """

    test: LabelledImages
    measured: LabelledImages
    sides: dict[str, LabelledImages]
    others: dict[str, LabelledImages] = field(default_factory=dict)

    def to(self, device: torch.device) -> "Material":
        """Give the same data on another device."""
        others = {f"other/{split}": images for split, images in self.others.items()}
        moved = move_all({"test": self.test, "measured": self.measured, **others, **self.sides}, device)
        found = {split: moved.pop(f"other/{split}") for split in self.others}
        return Material(moved.pop("test"), moved.pop("measured"), moved, found)

    def side(self, network: LoggedNetwork) -> LabelledImages:
        """Give the training subset of a network."""
        return self.sides[network.digests["train"]]

    def calibration(self, networks: Sequence[LoggedNetwork]) -> Images:
        """Join the training images of some networks, each subset once."""
        chosen = {network.digests["train"]: self.side(network).images for network in networks}
        first, *others = chosen.values()
        for other in others:
            first = join(first, other)
        return first


def load_material(
    store: Store, networks: Sequence[LoggedNetwork], split: str, data_root: str, device: torch.device, sides: bool
) -> Material:
    """Load the data that the networks were trained and tested on, each training subset once.

    Args:
        store: where the runs are.
        networks: of one architecture and one data set.
        split: `test`, or `train` where all networks share it.
        data_root: folder of the data set here; empty: as the runs say.
        device: where the tensors go.
        sides: whether every network's training subset is needed, or the first's alone.

    Raises:
        ValueError: the data here are others, or `train` is not one subset.
    """
    for other in networks if split == "train" else ():
        if not other.knows_training:
            raise ValueError(
                f"split=train: nobody has said what run {other.run.info.run_id} was trained on; measure on split=test, "
                "or adopt it with trained_on=A, B or both"
            )
        if other.digests["train"] != networks[0].digests["train"]:
            ids = f"{networks[0].run.info.run_id} and {other.run.info.run_id}"
            raise ValueError(f"split=train: runs {ids} were trained on different subsets; measure them on split=test")
    first = rebuild(store, networks[0], data_root, device)
    if sides:
        require_training(networks)
    wanted = {network.digests["train"] for network in networks} if sides else set()
    kept = _wanted_sides(first, networks[0], wanted)
    for other in networks if sides else ():
        if other.digests["train"] not in kept:
            kept |= _wanted_sides(rebuild(store, other, data_root, device), other, wanted)
    measured = first.test if split == "test" else kept[networks[0].digests["train"]]
    return Material(first.test, measured, kept)


def _wanted_sides(data: ShiftedData, network: LoggedNetwork, wanted: Set[str]) -> dict[str, LabelledImages]:
    """Keep the training subset of a network, and the sides on which others were trained: digest -> images."""
    others = {side.digest: side for side in (data.a, data.b) if side.digest in wanted}
    own = {network.digests["train"]: data.side(network.side)} if network.knows_training else {}
    return others | own


def identity_of(config: object, networks: Sequence[LoggedNetwork], without: Sequence[str]) -> dict[str, str]:
    """Give the tags that identify a measurement in the store: how it is made, and of which runs in which order.

    Args:
        config: of the command.
        networks: in order.
        without: options that name the networks and nothing else.
    """
    ids = ",".join(network.run.info.run_id for network in networks)
    return {
        Tag.FINGERPRINT: fingerprint(config, without, measures_beside()),
        Tag.RUNS_DIGEST: hashlib.sha256(ids.encode()).hexdigest()[:32],
    }


def labels_of(networks: Sequence[LoggedNetwork]) -> list[str]:
    """Make a short name for each network: seed, side, and every setting in which it differs from the others."""
    known = parameters(TrainPairConfig).values()
    rows = [{p.name: getattr(getattr(n.config, p.section), p.name) for p in known} for n in networks]
    frame = pd.DataFrame(rows).assign(kind=[n.run.data.tags.get(Tag.KIND, "") for n in networks])
    names = distinguishing(frame, [name for name in CONDITIONS if name in frame])
    labels = []
    for network, row in zip(networks, frame.to_dict(orient="records"), strict=True):
        kind = f"{row['kind']} " if frame["kind"].nunique() > 1 else ""
        own = [f"{kind}{short_name(network)}", *(describe(name, row[name]) for name in names)]
        labels.append(", ".join(filter(None, own)))
    ids = [network.run.info.run_id[:PREFIX] for network in networks]
    return [
        label if labels.count(label) == 1 else f"{label} ({run_id})" for label, run_id in zip(labels, ids, strict=True)
    ]
