"""Which permutation makes B's units respond as A's do? One assignment a group, by their correlation over data.

Li et al. (2016), Convergent Learning; Ainsworth et al. (2023), section 3.1.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lmc_mlflow.alignment.matching import (
    Matching,
    assign,
    check_ends,
    starting,
)
from lmc_mlflow.alignment.symmetry import Parts, Symmetry
from lmc_mlflow.weights import State


@torch.no_grad()
def match_activations(
    symmetry: Symmetry,
    network: nn.Module,
    a: State,
    b: State,
    batches: Iterable[Tensor],
    *,
    similarity: str = "correlation",
) -> Matching:
    """Permute b's units towards those of a that respond alike, in one pass over the images.

    Looked at is the output of every layer that has parameters and carries the group's units (a convolution, the
    batch norm after it, ...), at every image and every place in the image; similarities are summed over layers.

    Args:
        symmetry: of the network.
        network: whose states a and b are; not changed.
        a: stays.
        b: is permuted.
        batches: images (N, C, H, W) on the network's device; all layers run in evaluation mode.
        similarity: `correlation`, to which every unit counts alike, or `covariance`.

    Raises:
        ValueError: states that do not belong to the symmetry, an unknown similarity, no images.
    """
    check_ends(symmetry, a, b)
    if similarity not in SIMILARITIES:
        raise ValueError(f"similarity {similarity!r}: choose from {', '.join(SIMILARITIES)}")
    moments = _gather(symmetry, [_loaded(network, state) for state in (a, b)], batches)
    if not moments and symmetry.sizes:
        raise ValueError("activations are matched on images, and none were given")
    permutations = starting(symmetry, None)
    before = after = 0.0
    for group, size in symmetry.sizes.items():
        found = [SIMILARITIES[similarity](m) for (of, _), m in moments.items() if of == group]
        if found:
            worth = torch.stack(found).sum(0).cpu()
            permutations[group] = assign(worth)
            before += float(worth.trace())
            after += float(worth[torch.arange(size), permutations[group]].sum())
    return Matching(permutations, (before, after), True, "activations")


def _gather(symmetry: Symmetry, ends: list[nn.Module], batches: Iterable[Tensor]) -> dict[tuple[str, str], "_Moments"]:
    """For each group and layer that carries it what both networks' units do on the images."""
    moments: dict[tuple[str, str], _Moments] = {}
    kept: list[dict[str, Tensor]] = [{}, {}]
    for end, responses in zip(ends, kept, strict=True):
        for name in symmetry.outputs:
            end.get_submodule(name).register_forward_hook(_keep(name, responses))
    for images in batches:
        for end in ends:
            end(images)
        for name, axes in symmetry.outputs.items():
            for axis, parts in enumerate(axes):
                for group in dict.fromkeys(part.group for part in parts if part.group is not None):
                    mine, theirs = (_units(responses[name], axis, parts, group) for responses in kept)
                    moments.setdefault((group, name), _Moments()).add(mine, theirs)
    return moments


class _Moments:
    """Sums over samples from which means, variances and cross products of two networks' units follow."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: list[Tensor] = []
        self.shift: tuple[Tensor, Tensor] | None = None

    def add(self, mine: Tensor, theirs: Tensor) -> None:
        """Samples (S, n) of both, the same images in the same order."""
        mine, theirs = mine.double(), theirs.double()
        if self.shift is None:  # sums of what is nearly centred lose no digits
            self.shift = mine.mean(0), theirs.mean(0)
        mine, theirs = mine - self.shift[0], theirs - self.shift[1]
        new = [mine.sum(0), theirs.sum(0), mine.square().sum(0), theirs.square().sum(0), mine.T @ theirs]
        self.sums = [old + value for old, value in zip(self.sums, new, strict=True)] if self.sums else new
        self.count += len(mine)

    def covariance(self) -> Tensor:
        """(n, n): of A's unit i and B's unit j."""
        mine, theirs, _, _, products = self.sums
        return products / self.count - torch.outer(mine, theirs) / self.count**2

    def correlation(self) -> Tensor:
        """(n, n), 0 for a unit that never changes."""
        deviations = [
            (squares / self.count - (sums / self.count).square()).clamp_min(0).sqrt()
            for sums, squares in zip(self.sums[:2], self.sums[2:4], strict=True)
        ]
        scale = torch.outer(*deviations)
        alive = torch.outer(*(deviation > 1e-12 for deviation in deviations))
        return torch.where(alive, self.covariance() / scale, torch.zeros_like(scale))


SIMILARITIES: Mapping[str, Callable[[_Moments], Tensor]] = {
    "correlation": _Moments.correlation,
    "covariance": _Moments.covariance,
}


def _loaded(network: nn.Module, state: State) -> nn.Module:
    end = copy.deepcopy(network).eval()
    end.load_state_dict(dict(state))
    return end


def _keep(name: str, responses: dict[str, Tensor]) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        responses[name] = output.clone()  # an activation in place may follow

    return hook


def _units(value: Tensor, axis: int, parts: Parts, group: str) -> Tensor:
    """A layer's output -> (samples, n) of the units of a group; entries of one unit are samples of it."""
    value, start, found = value.movedim(axis, -1), 0, []
    for part in parts:
        end = start + part.size * part.repeat
        if part.group == group:
            here = value[..., start:end].reshape(-1, part.size, part.repeat)
            found.append(here.transpose(-1, -2).reshape(-1, part.size))
        start = end
    return torch.cat(found)
