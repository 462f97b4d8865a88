"""Maps the units of heads onto each other by orthogonal matrices, which keep what the heads compute.

A head computes with products of queries and keys, and of values and columns of the output layer. For an invertible M,
queries M q and keys M^-T k have the same products, and so do values N v and columns o N^-1. Searched are orthogonal M
and N, for which M^-T is M itself: then the best one for both matrices together is known (orthogonal Procrustes).
"""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from lmc_mlflow.alignment.matching import assign
from lmc_mlflow.alignment.methods.blocks import block_pieces
from lmc_mlflow.alignment.ordering import permute, unit_entries
from lmc_mlflow.alignment.symmetry import Permutations, Symmetry, compose, identity_permutations
from lmc_mlflow.weights import State


def map_heads(
    symmetry: Symmetry, a: State, b: State, permutations: Permutations, names: Collection[str]
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Permute B, pair its heads with A's anew by what the best maps gain, and map the units of each head.

    Args:
        symmetry: of both; `symmetry.mixable` names what may be mapped.
        a: state that stays.
        b: state that is mapped; a new one is returned.
        permutations: of B, found before.
        names: tensors whose distance to A's counts.

    Returns:
        the state, the permutations with the new pairs, and the maps: group -> float64 (heads, n, n).

    Raises:
        ValueError: there are no units that may be mapped.
    """
    if not symmetry.mixable:
        raise ValueError(
            "the network has no heads whose queries meet keys, or values the output layer, in products alone"
        )
    moved = _in_double(permute(symmetry, b, permutations))
    target = _in_double(a)
    pairs = identity_permutations(symmetry)
    maps: dict[str, Tensor] = {}
    for outer in dict.fromkeys(symmetry.parents[group] for group in symmetry.mixable):
        products = _products(symmetry, outer, target, moved, names)
        if set(symmetry.insides(outer)) <= symmetry.mixable:
            gains = [torch.linalg.svdvals(found).sum(-1) if group else found for group, found in products.items()]
            pairs[outer] = assign(torch.stack(gains).sum(0))
        heads = torch.arange(symmetry.sizes[outer])
        for group in symmetry.insides(outer):
            if group in symmetry.mixable and group in products:
                left, _, right = torch.linalg.svd(products[group][heads, pairs[outer]])
                maps[group] = left @ right
    moved = permute(symmetry, moved, pairs)
    for group, matrices in maps.items():
        moved = mix_heads(symmetry, group, moved, matrices)
    state = {name: value.to(b[name].dtype) for name, value in moved.items()}
    return state, compose(permutations, pairs, symmetry), maps


def mix_heads(symmetry: Symmetry, group: str, state: State, matrices: Tensor) -> dict[str, Tensor]:
    """Multiply the units of each head by a matrix, in all tensors that have them; new unit i is sum_j M[i, j] old_j.

    Args:
        symmetry: of the network.
        group: of units inside heads, one that is mixable.
        state: weights, in double precision.
        matrices: orthogonal (heads, n, n).
    """
    mixed = dict(state)
    for name, axis in symmetry.tensors(group):
        rows = mixed[name].movedim(axis, 0).clone()
        for entries in _entries_of_heads(symmetry, group, name, axis):
            heads = rows[entries.flatten()].reshape(*entries.shape, -1)
            rows[entries.flatten()] = (matrices @ heads).reshape(-1, *rows.shape[1:])
        mixed[name] = rows.movedim(0, axis)
    return mixed


def _in_double(state: State) -> dict[str, Tensor]:
    return {name: value.double() if value.is_floating_point() else value for name, value in state.items()}


def _products(
    symmetry: Symmetry, outer: str, a: Mapping[str, Tensor], b: Mapping[str, Tensor], names: Collection[str]
) -> dict[str, Tensor]:
    """Sum the inner products (H, H, n, n) of all units of the mixable groups; "": those (H, H) of whole heads."""
    still, found = identity_permutations(symmetry), dict[str, Tensor]()
    for name in dict.fromkeys(name for name, _ in symmetry.tensors(outer)):
        if name in names:
            for piece in block_pieces(symmetry, outer, name, (a[name], b[name]), still):
                group = piece.insides[0] if piece.insides else ""
                products = piece.all_products()
                found[group] = found[group] + products if group in found else products
    return found


def _entries_of_heads(symmetry: Symmetry, group: str, name: str, axis: int) -> list[Tensor]:
    """List the entries (heads, n) on an axis, once for each part that has the units (queries, keys)."""
    num_heads = symmetry.sizes[symmetry.parents[group]]
    entries = unit_entries(symmetry.axes[name][axis], group)  # (parts * heads, n)
    return list(entries.view(-1, num_heads, entries.shape[1]))
