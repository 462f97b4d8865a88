"""How are the units of one logged network matched to another's?"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lmc_mlflow import alignment
from lmc_mlflow.alignment import (
    Matching,
    Symmetry,
    derive_symmetry,
    permute,
    units_moved,
)
from lmc_mlflow.config.alignment import MatchingConfig
from lmc_mlflow.config.choices import lookup
from lmc_mlflow.contract import Artifact, Tag
from lmc_mlflow.data.loading import LabelledImages
from lmc_mlflow.models.parameters import MATCHED_ON
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.seeds import derive_seed, stream
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.weights import State
from lmc_mlflow.workflows.networks.pair_of_networks import Ends

logger = logging.getLogger(__name__)
MATCHING_BATCH = 500
TOLERANCE = 1e-3
"""Of the largest output: what the outputs of a network and of its permuted self may differ by."""


@dataclass(frozen=True)
class Alignment:
    """A network with its units brought into another's order.

    Attributes:
        network: B, permuted, on the CPU; its run is still the one that logged it.
        matching: how.
        seconds: that finding it took.
    """

    network: LoggedNetwork
    matching: Matching
    seconds: float

    def metrics(self) -> dict[str, float]:
        """What is logged of the matching."""
        values = self.matching.objective
        return {
            "objective_before": values[0],
            "objective_after": values[-1],
            "units_moved": units_moved(self.matching.permutations),
            "cost/align_seconds": self.seconds,
        }


@dataclass(frozen=True)
class _Task:
    """What a method needs to know."""

    symmetry: Symmetry
    network: nn.Module
    a: State
    b: State
    config: MatchingConfig
    images: LabelledImages
    device: torch.device

    @property
    def seed(self) -> int:
        return derive_seed(self.config.align_seed, "align")

    def names(self) -> list[str]:
        """The tensors that count."""
        return lookup(MATCHED_ON, self.config.match_on, "match_on")(self.network)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The images that are looked at and their labels, in an order of their own."""
        order = torch.randperm(len(self.images), generator=stream(self.config.align_seed, "align/images"))
        chosen = order[: self.config.num_matching_images]
        labels = self.images.labels[chosen.to(self.images.labels.device)]
        yield from zip(
            self.images.images.batches(chosen, MATCHING_BATCH), torch.split(labels, MATCHING_BATCH), strict=True
        )


def find_symmetry(end: LoggedNetwork) -> Symmetry:
    """The units of a network that may be exchanged.

    Raises:
        ValueError: an operation of the network is not understood; says which.
    """
    spec = end.spec
    images = torch.zeros(2, spec.channels, spec.height, spec.width)
    try:
        return derive_symmetry(end.network(), images)
    except ValueError as error:
        raise ValueError(f"{spec.model} cannot be aligned: {error}; interpolate with align=none") from None


def find_alignment(
    ends: Ends, symmetry: Symmetry, method: str, config: MatchingConfig, images: LabelledImages, device: torch.device
) -> Alignment:
    """Permute the units of B towards A.

    Args:
        ends: A, which stays, and B.
        symmetry: of both.
        method: a row of `METHODS`.
        config: what the method compares, and for how long.
        images: A's training side, on the device.
        device: where it is computed.
    """
    network = ends[0].network().to(device)
    a, b = ({name: value.to(device) for name, value in end.state.items()} for end in ends)
    start = time.perf_counter()
    matching = lookup(METHODS, method, "method")(_Task(symmetry, network, a, b, config, images, device))
    seconds = time.perf_counter() - start
    if not matching.converged:
        logger.warning(
            "the matching of %s had not settled after %d sweeps; give more with max_sweeps",
            ends[1].run.info.run_id,
            len(matching.objective) - 1,
        )
    permuted = permute(symmetry, ends[1].state, matching.permutations)
    return Alignment(replace(ends[1], state=permuted), matching, seconds)


def _by_weights(task: _Task) -> Matching:
    return alignment.match_weights(
        task.symmetry, task.a, task.b, seed=task.seed, max_sweeps=task.config.max_sweeps, include=task.names()
    )


def _by_activations(task: _Task) -> Matching:
    return alignment.match_activations(
        task.symmetry, task.network, task.a, task.b, (images for images, _ in task.batches())
    )


def _by_sinkhorn(task: _Task) -> Matching:
    config = task.config
    return alignment.match_sinkhorn(
        task.symmetry,
        task.network,
        task.a,
        task.b,
        objective=config.sinkhorn_objective,
        batches=list(task.batches()),
        steps=config.sinkhorn_steps,
        lr=config.sinkhorn_lr,
        temperature=config.sinkhorn_temperature,
        seed=task.seed,
        include=task.names(),
    )


METHODS: Mapping[str, Callable[[_Task], Matching]] = {
    "weights": _by_weights,
    "activations": _by_activations,
    "sinkhorn": _by_sinkhorn,
}


@torch.no_grad()
def output_difference(before: LoggedNetwork, after: LoggedNetwork, images: Tensor) -> float:
    """Largest difference of two networks' outputs, over the largest output.

    Raises:
        FloatingPointError: it is above `TOLERANCE`: the two are not one function.
    """
    there, here = (network.network().to(images.device)(images) for network in (before, after))
    largest = float(there.abs().max())
    found = float((there - here).abs().max()) / largest if largest > 0 else float((there - here).abs().max())
    if not found <= TOLERANCE:
        raise FloatingPointError(
            f"permuting run {before.run.info.run_id} changed its outputs by {found:.2g} of the largest, which "
            "exchanging units never does; this is a mistake of lmc_mlflow, please report it with the model's name"
        )
    return found


def log_matching(run: TrackedRun, alignment: Alignment, prefix: str = "") -> None:
    """The permutation, the objective sweep by sweep, and whether it settled."""
    matching = alignment.matching
    run.log_arrays({name: order.cpu().numpy() for name, order in matching.permutations.items()}, Artifact.PERMUTATION)
    run.log_curves({f"{prefix}objective": list(enumerate(matching.objective))})
    run.log_metrics({f"{prefix}{key}": value for key, value in alignment.metrics().items()})
    run.set_tags({Tag.CONVERGED: "yes" if matching.converged else "no"})


def matching_sentence(alignment: Alignment) -> str:
    """How the matching went, in words."""
    values = alignment.metrics()
    text = (
        f"matched by {alignment.matching.method}: objective {values['objective_before']:.5g} before, "
        f"{values['objective_after']:.5g} in the end; "
        f"{values['units_moved']:.0%} of B's hidden units moved."
    )
    if not alignment.matching.converged:
        text += " **It had not settled when the limit of sweeps was reached**: give a higher `max_sweeps`."
    return text
