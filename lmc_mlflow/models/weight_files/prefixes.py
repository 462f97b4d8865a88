"""Finds the prefix under which the tensors of a network stand in a file."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lmc_mlflow.errors import shortened

COUNTER = "num_batches_tracked"
"""The last part of the name of batch norm's counter, which files of PyTorch before 0.4.1 lack."""
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Parts that torch.compile, sharding and checkpointing put into names, at any place."""
REPLICAS = (*WRAPPERS, "module")
"""Those, and the part that DataParallel and DistributedDataParallel put there."""
_MOST_NAMES = 5
"""Names that a sentence repeats."""


@dataclass(frozen=True)
class PrefixFit:
    """One way to read names: `file_prefix` + x in the file is `network_prefix` + x in the network.

    Attributes:
        tensors: of the file, by names without the parts of wrappers.
        file_prefix: that the file puts before a name.
        network_prefix: that the network puts before it.
        names: name in the network -> name in `tensors`, for those tensors that are there.
        parts: that were taken out of names.
    """

    tensors: Mapping[str, Tensor]
    file_prefix: str
    network_prefix: str
    names: Mapping[str, str]
    parts: tuple[str, ...] = ()

    @property
    def unused(self) -> list[str]:
        """The tensors of the file that are none of the network's."""
        used = set(self.names.values())
        return [name for name in self.tensors if name not in used]

    @property
    def notes(self) -> list[str]:
        """What was done to names, in sentences."""
        taken_out = f"taken out of all names: {' and '.join(self.parts)}"
        prefix = f"the prefix {shortened(self.file_prefix)!r} was taken off"
        return [taken_out] * bool(self.parts) + [prefix] * (self.file_prefix not in ("", self.network_prefix))


def is_needed(name: str) -> bool:
    """Tell whether a tensor must be in a file: all but counters of batch norm, which are read nowhere."""
    return name.rpartition(".")[2] != COUNTER


def fit_prefixes(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> PrefixFit:
    """Find the prefixes under which the whole network is in the file, or else as much of it as possible.

    Names are taken as they are and, where they do not fit, without the parts that wrappers put into them.

    Args:
        tensors: of the file.
        expected: name -> tensor of the network; values are not read.

    Raises:
        ValueError: several parts of the file fit equally well, or less than half of the network is in it.
    """
    needed = {name for name in expected if is_needed(name)}
    found: list[PrefixFit] = []
    for parts in ((), WRAPPERS, REPLICAS):
        fits = _fits(tensors, expected, parts)
        whole = [fit for fit in fits if needed <= fit.names.keys()]
        if whole:
            return _the_one(whole, expected)
        found += fits
    best = max(found, key=lambda fit: len(needed & fit.names.keys()), default=None)
    if best is None or 2 * len(needed & best.names.keys()) < len(needed):
        raise ValueError(
            f"the file is of another network: its first tensor is {shortened(next(iter(tensors), 'missing'))}, the "
            f"network's is {next(iter(expected))}; choose the model and model_options that the file was saved from"
        )
    return best


def some(names: Collection[str]) -> str:
    """List the first names, and say how many there are more."""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(shortened(name, 80) for name in list(names)[:_MOST_NAMES]) + more


def _fits(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], parts: Collection[str]) -> list[PrefixFit]:
    """List the ways to read names under which at least one tensor of the network is there; the plainest first."""
    cleaned: dict[str, Tensor] = {}
    taken_out: set[str] = set()
    for name, value in tensors.items():
        words = name.split(".")
        taken_out |= set(words) & set(parts)
        plain = ".".join(word for word in words if word not in parts)
        if plain in cleaned:
            return []
        cleaned[plain] = value
    if parts and not taken_out:
        return []
    by_end: dict[str, list[str]] = {}
    for name in cleaned:
        for end in _ends(name):
            by_end.setdefault(end, []).append(name)
    found: dict[tuple[str, str], dict[str, str]] = {}
    for network_prefix in _common_prefixes(expected):
        for name in expected:
            end = name.removeprefix(network_prefix)
            for candidate in by_end.get(end, ()):
                file_prefix = candidate.removesuffix(end)
                if not file_prefix.endswith(network_prefix) or not network_prefix:  # else the shorter one says the same
                    found.setdefault((file_prefix, network_prefix), {})[name] = candidate
    ordered = sorted(found, key=lambda key: (key[0] != "", len(key[0]), key))
    return [PrefixFit(cleaned, *key, found[key], tuple(sorted(taken_out))) for key in ordered]


def _ends(name: str) -> Iterator[str]:
    """Yield a name and what is left of it without its first parts."""
    words = name.split(".")
    for i in range(len(words)):
        yield ".".join(words[i:])


def _common_prefixes(expected: Mapping[str, Tensor]) -> list[str]:
    """List the prefixes that all names of a network share, from none to the longest."""
    first = next(iter(expected), "").split(".")
    prefixes = [".".join(first[:i]) + "." if i else "" for i in range(len(first))]
    return [prefix for prefix in prefixes if all(name.startswith(prefix) for name in expected)]


def _the_one(whole: list[PrefixFit], expected: Mapping[str, Tensor]) -> PrefixFit:
    """Choose the part of the file that is the network: the one without a prefix, or the only one of these shapes."""
    if not whole[0].file_prefix:
        return whole[0]
    same_shapes = [
        fit
        for fit in whole
        if all(fit.tensors[theirs].shape == expected[mine].shape for mine, theirs in fit.names.items())
    ]
    first, *others = same_shapes or whole
    for other in others:
        if not all(_equal(first.tensors[first.names[name]], other.tensors[other.names[name]]) for name in first.names):
            raise ValueError(
                f"the network is in the file twice, as {shortened(first.file_prefix)!r} and as "
                f"{shortened(other.file_prefix)!r}, with other numbers; save the state dict of one of them alone"
            )
    return first


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)
