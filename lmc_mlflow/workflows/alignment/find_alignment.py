"""Finds the permutation that aligns one logged network to another, and logs it."""

import logging
import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lmc_mlflow.alignment import (
    LabelledSample,
    Matching,
    MatchingInputs,
    Symmetry,
    align,
    blocks_moved,
    derive_symmetry,
    permute,
    units_moved,
)
from lmc_mlflow.alignment.head_maps import map_heads
from lmc_mlflow.config.alignment import MatchingConfig
from lmc_mlflow.config.choices import lookup
from lmc_mlflow.contract import Artifact, Tag
from lmc_mlflow.data.loading import LabelledImages
from lmc_mlflow.models.parameters import MATCHED_ON
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.seeds import derive_seed
from lmc_mlflow.tracking.run import TrackedRun

logger = logging.getLogger(__name__)
TOLERANCE = 1e-3
"""Largest difference between the outputs of a network and of its permuted copy, over the largest output."""


@dataclass(frozen=True)
class Alignment:
    """A network with its units brought into another's order.

    Attributes:
        network: B, permuted, on the CPU; its run is still the one that logged it.
        matching: the permutation, and how it was found.
        seconds: time that finding it took.
        symmetry: of both networks.
    """

    network: LoggedNetwork
    matching: Matching
    seconds: float
    symmetry: Symmetry

    def metrics(self) -> dict[str, float]:
        """Give the metrics of the matching, under the names they are logged by."""
        values = self.matching.objective
        return {
            "objective_before": values[0],
            "objective_after": values[-1],
            "units_moved": units_moved(self.matching.permutations),
            "channels_free": self.symmetry.share_free,
            "cost/align_seconds": self.seconds,
        }


def find_symmetry(end: LoggedNetwork) -> Symmetry:
    """Derive which units of a logged network may be exchanged.

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
    ends: tuple[LoggedNetwork, LoggedNetwork],
    symmetry: Symmetry,
    method: str,
    config: MatchingConfig,
    images: LabelledImages | None,
    device: torch.device,
) -> Alignment:
    """Permute the units of B towards A.

    Args:
        ends: A, which stays, and B.
        symmetry: of both.
        method: a row of the table of alignment methods.
        config: what the method compares, and for how long.
        images: A's training side, on the device; None for a method that needs no images.
        device: where it is computed.

    Raises:
        ValueError: the weights of one of them are not finite.
    """
    for end in ends:
        end.refuse_if_diverged()
    network = ends[0].network().to(device)
    a, b = ({name: value.to(device) for name, value in end.state.items()} for end in ends)
    sample = None if images is None else LabelledSample(images.images, images.labels)
    start = time.perf_counter()
    matching = align(
        method, MatchingInputs(symmetry, network, a, b, config, derive_seed(config.align_seed, "align"), sample)
    )
    seconds = time.perf_counter() - start
    if not matching.converged:
        logger.warning(
            "the matching of %s had not converged after %d sweeps; give more with max_sweeps",
            ends[1].run.info.run_id,
            len(matching.objective) - 1,
        )
    permuted = permute(symmetry, ends[1].state, matching.permutations)
    return Alignment(replace(ends[1], state=permuted), matching, seconds, symmetry)


def map_heads_too(alignment: Alignment, ends: tuple[LoggedNetwork, LoggedNetwork], config: MatchingConfig) -> Alignment:
    """Mix the units of B's heads as well, after they were permuted, so that they come closest to A's.

    Args:
        alignment: of B by permutation.
        ends: A, and B as it was logged.
        config: what is compared.
    """
    names = lookup(MATCHED_ON, config.match_on, "match_on")(ends[0].network())
    matching = alignment.matching
    start = time.perf_counter()
    state, permutations, maps = map_heads(
        alignment.symmetry, ends[0].state, ends[1].state, matching.permutations, names
    )
    seconds = alignment.seconds + time.perf_counter() - start
    matching = replace(matching, permutations=permutations, maps=maps)
    return replace(alignment, network=replace(ends[1], state=state), matching=matching, seconds=seconds)


@torch.no_grad()
def output_difference(before: LoggedNetwork, after: LoggedNetwork, images: Tensor) -> float:
    """Measure the largest difference of two networks' outputs, over the largest output.

    Args:
        before: the network as it was logged.
        after: the permuted network.
        images: (N, C, H, W), on the device.

    Raises:
        FloatingPointError: it is above `TOLERANCE`: the two do not compute the same function.
    """
    of_before, of_after = (network.network().to(images.device)(images) for network in (before, after))
    largest = float(of_before.abs().max())
    difference = float((of_before - of_after).abs().max())
    found = difference / largest if largest > 0 else difference
    if not found <= TOLERANCE:
        raise FloatingPointError(
            f"permuting run {before.run.info.run_id} changed its outputs by {found:.2g} of the largest, which "
            "exchanging units never does; this is a mistake of lmc_mlflow, please report it with the model's name"
        )
    return found


def log_matching(run: TrackedRun, alignment: Alignment, prefix: str = "") -> None:
    """Log the permutation, what is held still, the objective sweep by sweep, and whether it converged."""
    matching = alignment.matching
    run.log_json(held_table(alignment.symmetry), Artifact.HELD_STILL)
    run.log_arrays({name: order.cpu().numpy() for name, order in matching.permutations.items()}, Artifact.PERMUTATION)
    if matching.maps:
        run.log_arrays({name: matrices.numpy() for name, matrices in matching.maps.items()}, Artifact.HEAD_MAPS)
    run.log_curves({f"{prefix}objective": list(enumerate(matching.objective))})
    run.log_metrics({f"{prefix}{key}": value for key, value in alignment.metrics().items()})
    run.set_tags({Tag.CONVERGED: "yes" if matching.converged else "no"})


def matching_sentence(alignment: Alignment) -> str:
    """Describe a matching in one or two sentences."""
    values = alignment.metrics()
    text = (
        f"matched by {alignment.matching.method}: objective {values['objective_before']:.5g} before, "
        f"{values['objective_after']:.5g} in the end; "
        f"{values['units_moved']:.0%} of the units that may be exchanged moved. {channels_sentence(alignment.symmetry)}"
    )
    if alignment.matching.maps:
        text += " Then the units of each head were mixed by orthogonal matrices, which the objective does not count."
    text += f" {blocks_sentence(alignment)}" if alignment.symmetry.parents else ""
    if not alignment.matching.converged:
        text += " **It had not converged when the limit of sweeps was reached**: give a higher `max_sweeps`."
    return text


def blocks_sentence(alignment: Alignment) -> str:
    """Say how many blocks changed places, in one sentence; nothing for a network without blocks."""
    moved, total = blocks_moved(alignment.symmetry, alignment.matching.permutations)
    return f"{moved} of {total} blocks (heads, groups of channels, experts) changed places." if total else ""


def channels_sentence(symmetry: Symmetry) -> str:
    """Say how many of the hidden channels may move, and what holds the others still, in one sentence."""
    held = symmetry.held
    free, total = (sum(getattr(layer, count) for layer in symmetry.channels.values()) for count in ("free", "total"))
    text = f"{free} of {total} hidden channels may move ({symmetry.share_free:.0%})"
    if not held:
        return f"{text}."
    name, layer = next(iter(held.items()))
    if len(held) == 1:
        return f"{text}; the layer {name} is held still in whole or in part, by {layer.reasons[0]}."
    return f"{text}; {len(held)} layers are held still in whole or in part, first {name}, by {layer.reasons[0]}."


def held_table(symmetry: Symmetry) -> dict[str, Any]:
    """Make the table of the layers of whose channels some are held still, and why."""
    rows = [[name, layer.total, layer.free, "; ".join(layer.reasons)] for name, layer in symmetry.held.items()]
    return {"columns": ["layer", "channels", "free", "held_by"], "data": rows}
