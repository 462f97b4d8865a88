"""Builds the network that is published: its members, their average, and the scaling of its images."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lmc_mlflow.batches import evenly_spaced
from lmc_mlflow.config.publish import PIXELS
from lmc_mlflow.data.loading import SIDES
from lmc_mlflow.data.scaling import Scaling
from lmc_mlflow.models.composed import AverageNetwork, PixelNetwork
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.workflows.networks.pair_of_networks import rebuild
from lmc_mlflow.workflows.publish.sources import Source

EXAMPLES = 4
CPU = torch.device("cpu")


@dataclass(frozen=True)
class BuiltNetwork:
    """A network that is ready to be exported.

    Attributes:
        network: on the CPU, in evaluation mode.
        example: a few of its inputs (n, C, H, W).
        classes: their names, in the order of the outputs.
        scaling: of its images, where there is one for all.
    """

    network: nn.Module
    example: Tensor
    classes: tuple[str, ...]
    scaling: Scaling | None


@dataclass(frozen=True)
class _DataFacts:
    """What is known of the data of a network: the scaling of each side, the classes, and a few scaled images."""

    scalings: Mapping[str, Scaling]
    classes: tuple[str, ...]
    images: Tensor


def build_published(store: Store, source: Source, taken: str, device: torch.device, data_root: str) -> BuiltNetwork:
    """Build what is published.

    Args:
        store: where its runs are.
        source: what it is.
        taken: `pixels` or `scaled`.
        device: where batch norm is recalibrated.
        data_root: folder of the data set here; empty: as the runs say.

    Raises:
        ValueError: the data are not there, or the networks scale their images in different ways.
    """
    facts = _facts(store, source, data_root)
    scalings = [_scalings(source, facts, numbers) for numbers in source.members]
    _check_scalings(scalings, taken)
    is_one = len(set(scalings)) == 1
    load = source.loader(store, device, data_root)
    members: list[nn.Module] = []
    for i, (first, *_) in enumerate(scalings):
        member = copy.deepcopy(load(i)).cpu()
        members.append(member if is_one else PixelNetwork(member, first.mean, first.deviation))
    network = AverageNetwork(members) if source.is_ensemble else members[0]
    example, first = facts[0].images, scalings[0][0]
    if taken == PIXELS:
        network = PixelNetwork(network, first.mean, first.deviation) if is_one else network
        mean, deviation = (torch.tensor(values)[:, None, None] for values in (first.mean, first.deviation))
        example = example * deviation + mean
    scaling = first if is_one and len(scalings[0]) == 1 else None
    return BuiltNetwork(network.requires_grad_(False).eval(), example.contiguous(), facts[0].classes, scaling)


def _facts(store: Store, source: Source, data_root: str) -> list[_DataFacts]:
    """Look at the data of each network; at the same data once."""
    found: dict[tuple[object, ...], _DataFacts] = {}
    facts = []
    for network in source.networks:
        section = network.config.data
        key = (network.digests["data"], section.normalization, section.image_size, section.shift)
        if key not in found:
            found[key] = _look_at(store, network, data_root)
        facts.append(found[key])
    if len({tuple(one.images.shape[1:]) for one in facts}) > 1:
        raise ValueError("the members take images of different sizes; no single model takes both")
    return facts


def _look_at(store: Store, network: LoggedNetwork, data_root: str) -> _DataFacts:
    data = rebuild(store, network, data_root, CPU)
    images = evenly_spaced(data.test.images, EXAMPLES)
    images = images if len(images) > 1 else torch.cat([images, images])  # one would become the only number it takes
    return _DataFacts(dict(zip(SIDES, data.scalings, strict=True)), data.classes, images.clone())


def _scalings(source: Source, facts: list[_DataFacts], numbers: tuple[int, ...]) -> tuple[Scaling, ...]:
    """List the ways in which the networks behind a member scale their images, each once."""
    found: dict[Scaling, None] = {}
    for i in numbers:
        side = source.networks[i].side
        found |= {facts[i].scalings[name]: None for name in ((side,) if side in SIDES else SIDES)}
    return tuple(found)


def _check_scalings(scalings: Sequence[tuple[Scaling, ...]], taken: str) -> None:
    if taken == PIXELS and any(len(of_member) > 1 for of_member in scalings):
        raise ValueError(
            "input=pixels: side A and side B scale their images by constants of their own, and this network lies "
            "between the sides; give input=scaled"
        )
    if taken != PIXELS and len(set(scalings)) > 1:
        raise ValueError(f"input={taken}: the members scale their images in different ways; give input=pixels")
