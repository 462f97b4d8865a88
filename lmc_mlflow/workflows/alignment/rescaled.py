"""Permutes the units of one logged network towards another, and brings them to the other's scales."""

from dataclasses import replace

from torch import Tensor

from lmc_mlflow.alignment import Symmetry, permute
from lmc_mlflow.alignment.rescaling import balance, find_scaled_groups, rescale_towards
from lmc_mlflow.config.commands import AlignConfig
from lmc_mlflow.data.loading import LabelledImages
from lmc_mlflow.workflows.alignment.find_alignment import Alignment, find_alignment
from lmc_mlflow.workflows.networks.pair_of_networks import Ends


def find_rescaled_alignment(
    ends: Ends, symmetry: Symmetry, config: AlignConfig, images: LabelledImages | None, tried: Tensor
) -> Alignment:
    """Find how B's units are permuted once all scales are comparable, and rescale them to A's scales.

    Args:
        ends: A, which stays, and B.
        symmetry: of both.
        config: of the command.
        images: as in `find_alignment`.
        tried: a few images (n, C, H, W), on the device, with which it is tried which units may be rescaled.

    Raises:
        ValueError: no units may be rescaled, or the weights of one network are not finite.
    """
    for end in ends:
        end.refuse_if_diverged()
    network = ends[0].network().to(tried.device)
    state = {name: value.to(tried.device) for name, value in ends[0].state.items()}
    groups = find_scaled_groups(network, symmetry, state, tried)
    if not groups:
        raise ValueError(
            f"{ends[0].spec.model} has no units that can be rescaled: none lie between ReLUs alone; leave out rescale"
        )
    balanced = tuple(replace(end, state=balance(symmetry, groups, end.state)) for end in ends)
    found = find_alignment(
        (balanced[0], balanced[1]), symmetry, config.aligning.method, config.matching, images, tried.device
    )
    permuted = permute(symmetry, ends[1].state, found.matching.permutations)
    rescaled = rescale_towards(symmetry, groups, ends[0].state, permuted)
    return replace(found, network=replace(ends[1], state=rescaled))
