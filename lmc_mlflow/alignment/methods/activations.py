"""Activation matching: permutes B's units to those of A with which they correlate over images.

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
    check_states,
    start_permutations,
)
from lmc_mlflow.alignment.methods.blocks import BlockPiece, assign_blocks, block_entries, block_segments
from lmc_mlflow.alignment.ordering import unit_entries
from lmc_mlflow.alignment.symmetry import Part, Parts, Symmetry
from lmc_mlflow.weights import State

MEMORY_BUDGET = 2**30
"""Bytes that the outputs of both networks, and their copies in double precision, may fill."""
Unit = tuple[str, str | None]
"""A group of units, or a group of blocks and a group of units inside them."""
BYTES_PER_ENTRY = 16
"""An entry of a layer's output in both networks, and the share of it that the copies of one layer are on average."""


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
    """Match b's units to those of a with similar outputs, in one pass over the images and one assignment a group.

    Compared are the outputs of every layer that has parameters and the group's units (a convolution, the batch norm
    after it, ...), at every image and every position in it; similarities are summed over layers. Blocks, and the units
    inside them, are assigned together.

    Args:
        symmetry: of the network.
        network: whose states a and b are; not changed.
        a: the state whose units keep their order.
        b: the state whose units are matched.
        batches: images (N, C, H, W) on the network's device; all layers run in evaluation mode.
        similarity: `correlation`, in which every unit has the same weight, or `covariance`.

    Raises:
        ValueError: states that do not belong to the symmetry, an unknown similarity, no images.
    """
    check_states(symmetry, a, b)
    if similarity not in SIMILARITIES:
        raise ValueError(f"similarity {similarity!r}: choose from {', '.join(SIMILARITIES)}")
    moments = _collect_moments(symmetry, [_load(network, state) for state in (a, b)], batches)
    if not moments and symmetry.sizes:
        raise ValueError("activations are matched on images, and none were given")
    similarities: dict[Unit, Tensor] = {}
    for (unit, _), of_layer in moments.items():
        found = SIMILARITIES[similarity](of_layer).cpu()
        similarities[unit] = similarities[unit] + found if unit in similarities else found
    permutations = start_permutations(symmetry, None)
    objective = _assign_all(symmetry, similarities, permutations)
    return Matching(permutations, objective, True, "activations")


def _assign_all(
    symmetry: Symmetry, similarities: Mapping[Unit, Tensor], permutations: dict[str, Tensor]
) -> tuple[float, float]:
    """Assign every group that has similarities, in place; their sums before and after."""
    before = after = 0.0
    flat = {group: found for (group, inside), found in similarities.items() if inside is None}
    holders = dict.fromkeys(group for group, inside in similarities if inside is not None)
    for group in holders:
        num_blocks = symmetry.sizes[group]
        inner = {
            inside: found.view(num_blocks, -1, num_blocks, len(found) // num_blocks).transpose(1, 2)
            for (of, inside), found in similarities.items()
            if of == group and inside is not None
        }
        whole = [BlockPiece.known((), flat.pop(group))] if group in flat else []
        pieces = [*whole, *(BlockPiece.known((inside,), found) for inside, found in inner.items())]
        every = torch.arange(num_blocks)
        start = {inside: torch.arange(found.shape[-1]).expand(num_blocks, -1) for inside, found in inner.items()}
        sizes = {inside: found.shape[-1] for inside, found in inner.items()}
        blocks, insides = assign_blocks(pieces, num_blocks, sizes, (every, start))
        own = [piece for piece in pieces if set(piece.insides) <= symmetry.parents.keys()]
        before += sum(float(piece.values((every, every), start).sum()) for piece in own)
        after += sum(float(piece.values((every, blocks), insides).sum()) for piece in own)
        permutations[group] = blocks
        permutations |= {inside: order for inside, order in insides.items() if inside in symmetry.parents}
        for inside in inner.keys() - symmetry.parents.keys():  # its units move alike in all blocks
            total = inner[inside][every, blocks].sum(0)
            before += float(inner[inside][every, every].sum(0).trace() - total.trace())
            flat[inside] = flat[inside] + total if inside in flat else total
    for group, total in flat.items():
        permutations[group] = assign(total)
        before += float(total.trace())
        after += float(total[torch.arange(len(total)), permutations[group]].sum())
    return before, after


def _collect_moments(
    symmetry: Symmetry, networks: list[nn.Module], batches: Iterable[Tensor]
) -> dict[tuple[Unit, str], "_Moments"]:
    """Units and the layer that has them -> moments of both networks' units over the images."""
    moments: dict[tuple[Unit, str], _Moments] = {}
    of_both: list[dict[str, Tensor]] = [{}, {}]
    for network, outputs in zip(networks, of_both, strict=True):
        for name in symmetry.outputs:
            network.get_submodule(name).register_forward_hook(_keep_output(name, outputs))
    num_together = 0
    for batch in batches:
        if not num_together:
            networks[0](batch[:1])
            num_together = max(1, MEMORY_BUDGET // (BYTES_PER_ENTRY * sum(o.numel() for o in of_both[0].values())))
        for images in torch.split(batch, num_together):
            for network in networks:
                network(images)
            for name, axes in symmetry.outputs.items():
                pair = [outputs.pop(name) for outputs in of_both]
                for axis, parts in enumerate(axes):
                    for unit, entries in _units(symmetry, parts).items():
                        of_a, of_b = (output.movedim(axis, -1)[..., entries].flatten(0, -2) for output in pair)
                        moments.setdefault((unit, name), _Moments()).add(of_a, of_b)
    return moments


class _Moments:
    """Sums over samples that give means, variances and cross products of two networks' units."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: list[Tensor] = []
        self.shift: tuple[Tensor, Tensor] | None = None

    def add(self, of_a: Tensor, of_b: Tensor) -> None:
        """Add samples (S, n) of both networks, of the same images in the same order."""
        of_a, of_b = of_a.double(), of_b.double()
        if self.shift is None:  # sums of values that are nearly centred lose no digits
            self.shift = of_a.mean(0), of_b.mean(0)
        of_a, of_b = of_a - self.shift[0], of_b - self.shift[1]
        new = [of_a.sum(0), of_b.sum(0), of_a.square().sum(0), of_b.square().sum(0), of_a.T @ of_b]
        self.sums = [old + value for old, value in zip(self.sums, new, strict=True)] if self.sums else new
        self.count += len(of_a)

    def covariance(self) -> Tensor:
        """Give the covariance (n, n) of A's unit i and B's unit j."""
        of_a, of_b, _, _, products = self.sums
        return products / self.count - torch.outer(of_a, of_b) / self.count**2

    def correlation(self) -> Tensor:
        """Give the correlation (n, n) of A's unit i and B's unit j: 0 for a unit whose output is constant."""
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


def _load(network: nn.Module, state: State) -> nn.Module:
    loaded = copy.deepcopy(network).eval()
    loaded.load_state_dict(dict(state))
    return loaded


def _keep_output(name: str, outputs: dict[str, Tensor]) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        outputs[name] = output.clone()  # an activation in place may follow

    return hook


def _units(symmetry: Symmetry, parts: Parts) -> dict[Unit, Tensor]:
    """Give the entries of an axis by the units to which they belong, int64 (samples of each unit, n).

    The units inside blocks are counted through all blocks. Units inside blocks on another axis are left out.
    """
    found: dict[Unit, Tensor] = {}
    for group in dict.fromkeys(group for part in parts for group in part.groups()):
        blocks = list(block_entries(parts, group))
        insides = {each for _, inner in blocks for part in inner for each in part.groups()}
        if insides:
            segments: dict[Unit, list[Tensor]] = {}
            for entries, inner in blocks:
                for inside, size, repeat, start in block_segments(inner, insides):
                    here = entries[:, :, start : start + size * repeat].reshape(*entries.shape[:2], size, repeat)
                    segments.setdefault((group, inside), []).append(here.permute(0, 3, 1, 2).flatten(0, 1).flatten(1))
            found |= {unit: torch.cat(pieces) for unit, pieces in segments.items()}
        elif group not in symmetry.parents and any(part.group == group for part in parts):
            alone = [part if part.group == group else Part(None, part.size * part.repeat) for part in parts]
            found[group, None] = unit_entries(tuple(alone), group)
    return found
