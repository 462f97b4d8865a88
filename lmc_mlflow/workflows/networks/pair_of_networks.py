"""Loads two logged networks that fit each other, and their data."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from lmc_mlflow.batches import Images
from lmc_mlflow.config.path import EndsConfig
from lmc_mlflow.data.loading import LabelledImages, ShiftedData, load_shifted
from lmc_mlflow.data.streaming import join
from lmc_mlflow.paths.barriers import UNSEEN
from lmc_mlflow.query.networks import LoggedNetwork, endpoints_of_pair, load_network, load_split
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.weights import check_compatible
from lmc_mlflow.workflows.networks.dataset_inputs import InputImages

logger = logging.getLogger(__name__)
Ends = tuple[LoggedNetwork, LoggedNetwork]
"""The networks at alpha 0 and 1."""
SHAPES = ("image_size", "channels")
"""Options by which the images of one data set become others."""
WAY_OUT = "choose two that agree in this, or train or adopt one again as the other"
"""What to do with two networks that differ."""
OTHER_SIDE = {"A": "B", "B": "A"}


def load_ends(store: Store, config: EndsConfig, any_scaling: bool = False) -> tuple[LoggedNetwork, LoggedNetwork]:
    """Load the two networks that a configuration names, verified to fit each other.

    Args:
        store: where the runs are.
        config: names them.
        any_scaling: whether they may have been trained on pixels that are scaled otherwise.

    Raises:
        ValueError: a run cannot be used, or the first thing in which the two differ.
    """
    a_id, b_id = endpoints_of_pair(store.client, config.pair) if config.pair else (config.run_a, config.run_b)
    a, b = load_network(store.client, a_id), load_network(store.client, b_id)
    difference = first_difference(a, b, any_scaling)
    if difference is not None:
        raise ValueError(f"runs {a.run.info.run_id} and {b.run.info.run_id} cannot be joined: {difference}; {WAY_OUT}")
    return a, b


def first_difference(a: LoggedNetwork, b: LoggedNetwork, any_scaling: bool = False) -> str | None:
    """Name the first thing in which two networks, their data or their scaling differ, or give None."""
    pairs = {"dataset": (a.config.data.dataset, b.config.data.dataset)}
    if a.digests["data"] != b.digests["data"]:  # of images as they are read; the options that shape them are the reason
        pairs |= {name: (getattr(a.config.data, name), getattr(b.config.data, name)) for name in SHAPES}
    pairs |= {
        "content of the data set": (a.digests["data"], b.digests["data"]),
        "test set (under their shifts)": (a.digests["test"], b.digests["test"]),
    }
    if not any_scaling:
        pairs["normalization"] = (a.config.data.scaling, b.config.data.scaling)
    for name, (left, right) in pairs.items():
        if left != right:
            return f"{name}: {left} vs {right}"
    difference = a.spec.difference(b.spec)
    if difference is None:
        try:
            check_compatible(a.state, b.state)
        except ValueError as error:
            return str(error)
    return difference


def split_inputs(ends: Ends, splits: Mapping[str, LabelledImages]) -> dict[str, InputImages]:
    """Say of every split what its images are."""
    a, b = ends
    inputs = {}
    for name, images in splits.items():
        if name == UNSEEN:
            inputs[name] = InputImages(images, b.config.data, OTHER_SIDE[b.side])
        else:
            owner = b if name == "train_b" else a
            inputs[name] = InputImages(images, owner.config.data, "" if name == "test" else owner.side)
    return inputs


def load_splits(
    store: Store, ends: tuple[LoggedNetwork, LoggedNetwork], data_root: str, device: torch.device
) -> dict[str, LabelledImages]:
    """Load the test set and both networks' own training subsets, rebuilt from the runs and checked by their digests.

    Where both were trained on one side, the other side's subset is `unseen`.

    Args:
        store: where the runs are.
        ends: the networks.
        data_root: folder of the data set here; empty: as the runs say.
        device: where the tensors go.

    Raises:
        ValueError: the data here are not the data the runs were trained on.
    """
    a, b = ends
    at_once = _share_data(store, ends)
    data = rebuild(store, a, data_root, device, at_once)
    splits = {"test": data.test}
    if a.knows_training:
        splits["train_a"] = data.side(a.side)
    if at_once:
        _check_data(data, b, data_root or b.config.data.data_root)
    else:
        del data  # what no split holds is freed before the rest is read
        data = rebuild(store, b, data_root, device)
    if b.knows_training:
        splits["train_b"] = data.side(b.side)
    other = OTHER_SIDE.get(b.side) if a.knows_training else None
    if other is not None and splits["train_a"].digest == splits["train_b"].digest != data.side(other).digest:
        splits[UNSEEN] = data.side(other)
    return splits


def check_splits(wanted: Sequence[str], splits: Mapping[str, LabelledImages], ends: Ends) -> tuple[str, ...]:
    """Check that what a path is to be measured on is there; leave out training images that nobody knows, and say so.

    Args:
        wanted: names of splits.
        splits: that there are.
        ends: the two networks.

    Returns:
        The names of the splits to measure on.

    Raises:
        ValueError: the two networks leave no images unseen, or nothing is left to measure on.
    """
    unknown = {f"train_{name}": end for name, end in zip("ab", ends, strict=True) if not end.knows_training}
    left = tuple(name for name in wanted if name not in unknown)
    for name in [name for name in wanted if name in unknown]:
        logger.warning(
            "%s is left out: nobody has said what run %s was trained on (adopt it again with its shift and "
            "trained_on=A, B or both)",
            name, unknown[name].run.info.run_id,
        )  # fmt: skip
    if not left:
        raise ValueError(f"splits={','.join(wanted)}: nobody knows these training images; give splits=test")
    if UNSEEN in wanted and UNSEEN not in splits:
        raise ValueError(
            "splits: unseen is the other side's training subset, and these two networks were not trained on one and "
            "the same side of a split; leave it out"
        )
    return left


def require_training(networks: Sequence[LoggedNetwork]) -> None:
    """Refuse networks of which nobody knows the training images, where batch norm or an alignment needs them.

    Raises:
        ValueError: naming the first such network.
    """
    for network in networks:
        if not network.knows_training:
            raise ValueError(
                "bn, align or a curve needs training images, and nobody has said what run "
                f"{network.run.info.run_id} was trained on; adopt it again with its shift and "
                "trained_on=A, B or both"
            )


def _share_data(store: Store, ends: Ends) -> bool:
    """Whether the data of both networks are those of one configuration and one split."""
    if ends[0].config.data != ends[1].config.data:
        return False
    if not all(end.knows_training for end in ends):
        return ends[0].knows_training == ends[1].knows_training
    a, b = (load_split(store.client, end.split_run) for end in ends)
    return np.array_equal(a.a, b.a) and np.array_equal(a.b, b.b)


def rebuild(
    store: Store, end: LoggedNetwork, data_root: str, device: torch.device, together: bool = False
) -> ShiftedData:
    """Load the data that a network was trained on, from its run's configuration and split, checked by their digests.

    Args:
        store: where the run is.
        end: the network.
        data_root: folder of the data set here; empty: as the run says.
        device: where the tensors go.
        together: as in `load_shifted`.

    Raises:
        ValueError: the data here are others.
    """
    section = end.config.data
    if data_root:
        section = replace(section, data_root=data_root)
    split = load_split(store.client, end.split_run) if end.knows_training else None
    data = load_shifted(section, device, split, together)
    _check_data(data, end, section.data_root)
    return data


def _check_data(data: ShiftedData, end: LoggedNetwork, data_root: str) -> None:
    here = {"data": data.digest, "test": data.test.digest}
    if end.knows_training:
        here["train"] = data.side(end.side).digest
    for name in here:
        digest = end.digests[name]
        if here[name] != digest:
            raise ValueError(
                f"{end.config.data.dataset} under data_root={data_root!r} is not what run "
                f"{end.run.info.run_id} was trained on "
                f"({name} digest {here[name][:8]} vs {digest[:8]}); give data_root=<folder of the original data>"
            )


def both_training_sides(splits: dict[str, LabelledImages]) -> Images:
    """Join the images of both training subsets; once, if they are one subset."""
    a, b = splits["train_a"], splits["train_b"]
    return a.images if a.digest == b.digest else join(a.images, b.images)
