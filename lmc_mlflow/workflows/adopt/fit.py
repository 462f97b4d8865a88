"""Fits a network that was trained elsewhere to a data set: shapes, names of weights, and what it says it gives."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lmc_mlflow.batches import evenly_spaced
from lmc_mlflow.config.adopting import AdoptingConfig
from lmc_mlflow.data.loading import ShiftedData
from lmc_mlflow.models.libraries.foreign_network import ForeignNetwork
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.models.weight_files.fit import fit_to_network
from lmc_mlflow.own_code import is_own, source_digest
from lmc_mlflow.workflows.adopt.found_network import FoundNetwork

NUM_LOOKED_AT = 64
"""Images on which it is checked what a network gives."""
CLOSE = 1e-3
"""How far the sums of probabilities may be from 1."""


@dataclass(frozen=True)
class Fitted:
    """A network that fits a data set.

    Attributes:
        spec: what rebuilds it.
        network: it, in evaluation mode, on the device of the data.
        state: its state dict, on the CPU.
        notes: what was done to the names of its weights.
    """

    spec: NetworkSpec
    network: nn.Module
    state: dict[str, Tensor]
    notes: tuple[str, ...]


def fit_network(source: FoundNetwork, config: AdoptingConfig, data: ShiftedData) -> Fitted:
    """Build the network for the images of a data set, and load its weights.

    Raises:
        ValueError: it takes other images, gives other classes, its weights do not fit, or it gives something else than
            the configuration says.
    """
    _, channels, height, width = data.test.images.shape
    num_classes, num_labels = len(data.classes), data.test.labels.ndim
    if source.graph is not None:
        _check_graph(source, (channels, height, width), num_classes)
    spec = NetworkSpec(
        source.model,
        channels,
        height,
        width,
        num_classes,
        output="log_probabilities" if num_labels == 1 else "logits",
        model_options=source.model_options,
        source=source_digest("model", source.model) if is_own("model", source.model) else "",
        graph="" if source.graph is None else source.graph.text,
        gives=config.output,
    )
    network = build_network(spec, seed=0)
    expected = network.state_dict()
    if source.graph is not None:
        state = {f"body.{name}": value for name, value in source.state.items()}
        notes: tuple[str, ...] = ()
    else:
        try:
            state, told = fit_to_network(source.state, spec)
        except ValueError as error:
            raise ValueError(f"{source.where}: {error}") from None
        notes = tuple(told)
    missing = expected.keys() - state.keys()
    state |= {name: torch.zeros_like(expected[name]) for name in missing if name.endswith("num_batches_tracked")}
    _check_finite(source, state)
    network.load_state_dict(state)
    network.to(data.test.labels.device).eval()
    _check_output(network, config.output, spec, data)
    return Fitted(spec, network, {name: value.detach().cpu() for name, value in network.state_dict().items()}, notes)


def _check_graph(source: FoundNetwork, images: tuple[int, int, int], num_classes: int) -> None:
    graph = source.graph
    assert graph is not None
    if tuple(graph.image_shape) != images:
        wanted, here = (" x ".join(map(str, shape)) for shape in (graph.image_shape, images))
        raise ValueError(
            f"{source.where} was exported for images of {wanted} (channels x height x width), and these are {here}; "
            "give another dataset, or image_size=<pixels> and channels=<number>"
        )
    if graph.num_outputs != num_classes:
        raise ValueError(
            f"{source.where} gives {graph.num_outputs} classes, and the data set has {num_classes}; give its dataset"
        )


def _check_finite(source: FoundNetwork, state: Mapping[str, Tensor]) -> None:
    for name, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f"{source.where}: {name} is not finite; its training diverged, and it is not adopted")


@torch.no_grad()
def _check_output(network: nn.Module, gives: str, spec: NetworkSpec, data: ShiftedData) -> None:
    """Compare what the network gives with what the configuration says.

    Raises:
        ValueError: it gives probabilities and the configuration says otherwise, or the other way round; or
            log-probabilities are said, and it gives other numbers.
    """
    images = evenly_spaced(data.test.images, NUM_LOOKED_AT)
    if not isinstance(network, ForeignNetwork):  # a network of ours gives log-probabilities
        if gives == "probabilities":
            raise ValueError(f"output=probabilities: {spec.model} is a network of ours, which gives none; leave it out")
        return
    given = network.given(images)
    if given.isnan().any():
        raise ValueError("what it gives for images of the test set is no number; its training diverged")
    one_label = spec.output == "log_probabilities"
    in_unit = bool((given >= 0).all() and (given <= 1 + CLOSE).all())
    are_probabilities = in_unit and (not one_label or _sum_to_one(given))
    if gives == "probabilities" and not are_probabilities:
        raise ValueError(
            "output=probabilities: it gives numbers that are none; give output=logits or log_probabilities"
        )
    if gives != "probabilities" and are_probabilities:
        raise ValueError(f"output={gives}: what it gives for every image is probabilities; give output=probabilities")
    if gives == "log_probabilities" and not one_label:
        raise ValueError(
            "output=log_probabilities: these images have several labels each; adopt a network that gives logits or "
            "probabilities"
        )
    if gives == "log_probabilities" and not _sum_to_one(given.double().exp()):
        raise ValueError("output=log_probabilities: exponentials of what it gives do not sum to 1; give output=logits")


def _sum_to_one(values: Tensor) -> bool:
    return bool(((values.sum(dim=1) - 1).abs() < CLOSE).all())
