"""Hierarchical assignment: matches blocks of units as wholes, each pair of blocks by its best inner permutation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import torch
from torch import Tensor

from lmc_mlflow.alignment.matching import assign, assign_each
from lmc_mlflow.alignment.ordering import entry_orders, outer_elsewhere
from lmc_mlflow.alignment.symmetry import Part, Parts, Permutations, Symmetry, identity_permutations

ROUNDS = 3
"""Times that the insides of a pair of blocks are matched in turn where one tensor has the units of two of them."""
ENTRIES_TOGETHER = 2**24


@dataclass
class BlockPiece:
    """The entries of a tensor that belong to the blocks of a group, in both networks."""

    insides: tuple[str, ...]
    """Groups of units inside the blocks, one for each axis between the first and the last."""
    of_a: Tensor
    """(blocks, units of each inside, others)."""
    of_b: Tensor
    """As `of_a`; permuted by all groups but the blocks and their insides."""
    _products: Tensor | None = field(default=None, repr=False)

    @classmethod
    def known(cls, insides: tuple[str, ...], products: Tensor) -> "BlockPiece":
        """Make the piece of which only the inner products are known: (H, H), or (H, H, n, n) for one inside."""
        empty = products.new_zeros(len(products), 0)
        return cls(insides, empty, empty, products)

    def all_products(self) -> Tensor:
        """Give all inner products (H, H, n, n) of units of two blocks, (H, H) where units do not move inside."""
        if self._products is None:
            num_blocks = len(self.of_a)
            if not self.insides:
                self._products = self.of_a.flatten(1) @ self.of_b.flatten(1).T
            else:
                every = self.of_a.flatten(0, 1) @ self.of_b.flatten(0, 1).T
                self._products = every.view(num_blocks, -1, num_blocks, len(every) // num_blocks).transpose(1, 2)
        return self._products

    def products(self, group: str, pairs: tuple[Tensor, Tensor], orders: Permutations) -> Tensor:
        """Give the inner products (P, n, n) of the units of one inside, for pairs of blocks.

        Args:
            group: of units inside the blocks.
            pairs: numbers (P,) of blocks of A and of B.
            orders: inside -> (P, n), how the other insides are permuted in each pair.
        """
        if len(self.insides) == 1:
            return self.all_products()[pairs]
        dim = self.insides.index(group)
        together = max(1, ENTRIES_TOGETHER // self.of_b[0].numel())
        of_a = self.of_a.movedim(dim + 1, 1).flatten(2)
        made = []
        for one, other, *rows in zip(
            *(torch.split(each, together) for each in (*pairs, *(orders[inside] for inside in self.insides))),
            strict=True,
        ):
            of_b = self._ordered(other, rows, dim)
            made.append(of_a[one] @ of_b.transpose(1, 2))
        return torch.cat(made)

    def values(self, pairs: tuple[Tensor, Tensor], orders: Permutations) -> Tensor:
        """Give the inner products (P,) of pairs of whole blocks, with B's blocks permuted inside."""
        if not self.insides:
            return self.all_products()[pairs]
        products = self.products(self.insides[0], pairs, orders)
        return products.gather(2, orders[self.insides[0]][:, :, None]).sum((1, 2))

    def _ordered(self, blocks: Tensor, rows: Sequence[Tensor], but: int) -> Tensor:
        """Take blocks of B (P, n, others) with all insides but one permuted by `rows` (P, n)."""
        of_b = self.of_b.movedim(but + 1, 1)
        others = [row for i, row in enumerate(rows) if i != but]
        of_b = of_b.transpose(1, 2)[blocks[:, None], others[0]].transpose(1, 2)
        for dim, row in enumerate(others[1:], start=3):
            shape = [1] * of_b.ndim
            shape[0], shape[dim] = row.shape
            of_b = torch.take_along_dim(of_b, row.view(shape), dim)
        return of_b.flatten(2)


def assign_blocks(
    pieces: Sequence[BlockPiece], num_blocks: int, sizes: Mapping[str, int], current: tuple[Tensor, Permutations]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Match blocks, and units inside each: an inner assignment for every pair of blocks, an outer one on their values.

    Args:
        pieces: what is compared.
        num_blocks: H.
        sizes: of the groups of units inside.
        current: permutations of blocks (H,) and, by group, of units inside (H, n), which are tried too.

    Returns:
        permutations of the blocks (H,) and of the units inside (H, n); where one tensor has the units of several
        groups inside, these are matched in turn, and the result may not be the best of all.
    """
    every = torch.arange(num_blocks)
    pairs = (every.repeat_interleave(num_blocks), every.repeat(num_blocks))
    orders, values = _match_insides(pieces, sizes, pairs, None)
    blocks, insides = current
    kept, of_kept = _match_insides(pieces, sizes, (every, blocks), insides)
    better = of_kept > values.view(num_blocks, num_blocks)[every, blocks]
    where = (every * num_blocks + blocks)[better]
    values[where] = of_kept[better]
    for group in sizes:
        orders[group][where] = kept[group][better]
    found = assign(values.view(num_blocks, num_blocks))
    return found, {group: orders[group][every * num_blocks + found] for group in sizes}


def _match_insides(
    pieces: Sequence[BlockPiece],
    sizes: Mapping[str, int],
    pairs: tuple[Tensor, Tensor],
    start: Permutations | None,
) -> tuple[dict[str, Tensor], Tensor]:
    """Match the insides of pairs of blocks, in turn; without a start first on what depends on one of them alone."""
    orders = {group: torch.arange(size).expand(len(pairs[0]), -1).clone() for group, size in sizes.items()}
    orders |= {group: order.clone() for group, order in (start or {}).items()}
    known = set(sizes) if start is not None else set[str]()
    rounds = ROUNDS if any(len(piece.insides) > 1 for piece in pieces) else 1
    for _ in range(rounds):
        before = dict(orders)
        was_known = known == set(sizes)
        for group in sizes:
            usable = [piece for piece in pieces if group in piece.insides and known | {group} >= set(piece.insides)]
            known.add(group)
            if usable:
                total = sum(
                    (piece.products(group, pairs, orders) for piece in usable[1:]),
                    usable[0].products(group, pairs, orders).double(),
                )
                orders[group] = assign_each(total)
        if was_known and all(torch.equal(orders[group], before[group]) for group in sizes):
            break
    values = sum((piece.values(pairs, orders).double() for piece in pieces), torch.zeros(len(pairs[0])).double())
    return orders, values


def block_pieces(
    symmetry: Symmetry, outer: str, name: str, tensors: tuple[Tensor, Tensor], permutations: Permutations
) -> Iterator[BlockPiece]:
    """Take out of a tensor what belongs to the blocks of a group, once for each axis on which they lie.

    Args:
        symmetry: of the network.
        outer: group of blocks.
        name: of the tensor.
        tensors: the tensor in A and in B, not permuted.
        permutations: of all groups.
    """
    axes, insides = symmetry.axes[name], set(symmetry.insides(outer))
    held = {group: order for group, order in identity_permutations(symmetry).items() if group in insides | {outer}}
    still = entry_orders(symmetry, name, {**permutations, **held})
    moved = entry_orders(symmetry, name, permutations)
    for dim, parts in enumerate(axes):
        if not any(outer in part.groups() for part in parts):
            continue
        of_a, of_b = tensors
        for i in range(len(axes)):
            here = i == dim or outer_elsewhere(symmetry, axes[i]) == outer
            order = (still if here else moved).get(i)
            if order is not None:
                of_b = torch.take_along_dim(of_b, _spread(order, i, of_b.ndim), i)
        for entries, inner in block_entries(parts, outer):
            cut = [block_segments(inner, insides)]
            cut += [block_segments(axis, insides) for i, axis in enumerate(axes) if i != dim]
            for chosen in product(*cut):
                groups = tuple(group for group, *_ in chosen if group is not None)
                a, b = (_piece(tensor.movedim(dim, 0), entries, chosen) for tensor in (of_a, of_b))
                yield BlockPiece(groups, a, b)


Segment = tuple[str | None, int, int, int]
"""Group, units, entries of each, and where the first begins."""


def _spread(order: Tensor, dim: int, ndim: int) -> Tensor:
    return order if order.ndim > 1 else order.view([-1 if i == dim else 1 for i in range(ndim)])


def block_entries(parts: Parts, outer: str, start: int = 0) -> Iterator[tuple[Tensor, Parts]]:
    """Yield entries (K, blocks, entries of a block) of an axis that belong to the blocks, and what lies inside."""
    for part in parts:
        if part.group == outer:
            entries = start + torch.arange(part.size * part.repeat).view(1, part.size, part.repeat)
            yield entries, part.inner or (Part(None, part.repeat),)
        else:
            for entries, inner in block_entries(part.inner, outer, start):
                offsets = part.repeat * torch.arange(part.size)[:, None, None, None]
                yield (entries + offsets).flatten(0, 1), inner
        start += part.size * part.repeat


def block_segments(parts: Parts, insides: set[str]) -> list[Segment]:
    """Cut an axis into segments of the insides, and into what lies between them."""
    segments: list[Segment] = []
    start = 0
    for part in parts:
        length = part.size * part.repeat
        if part.group in insides:
            segments.append((part.group, part.size, part.repeat, start))
        elif segments and segments[-1][0] is None:
            segments[-1] = (None, 1, segments[-1][2] + length, segments[-1][3])
        else:
            segments.append((None, 1, length, start))
        start += length
    return segments


def _piece(tensor: Tensor, entries: Tensor, chosen: Sequence[Segment]) -> Tensor:
    """(axis, others...) -> (blocks, units of each inside, all others) of the chosen segments."""
    (_, size, repeat, start), *others = chosen
    here = entries[:, :, start : start + size * repeat]
    value = tensor[here.flatten()].view(*here.shape[:2], size, repeat, *tensor.shape[1:])
    for dim, (_, n, r, begin) in enumerate(others):
        value = value.narrow(4 + 2 * dim, begin, n * r)
        value = value.reshape(*value.shape[: 4 + 2 * dim], n, r, *value.shape[5 + 2 * dim :])
    # now (K, blocks, n, r, n, r, ...): units of insides in front, everything else behind
    fronts = [1, *(2 + 2 * i for i, (group, *_) in enumerate(chosen) if group is not None)]
    behind = [i for i in range(value.ndim) if i not in fronts]
    return value.permute(*fronts, *behind).flatten(len(fronts)).contiguous()
