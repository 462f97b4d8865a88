"""Splits: index lists of the samples of each side, which depend on the labels and split_seed alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.seeds import derive_seed

Indices = NDArray[np.int64]
Labels = NDArray[Any]
"""(N,) class of each sample, or (N, K) zeros and ones."""


@dataclass(frozen=True)
class Sides:
    """Indices into the training set, in order: position i of a side is its i-th sample."""

    a: Indices
    b: Indices


def _shuffled_classes(labels: Labels, num_classes: int, split_seed: int) -> list[Indices]:
    """Shuffle the members of each class; where an image has several labels, all images are one class."""
    if labels.ndim == 2:
        labels, num_classes = np.zeros(len(labels), dtype=np.int64), 1
    shuffled = []
    for c in range(num_classes):
        rng = np.random.default_rng(derive_seed(split_seed, "split/class", c))
        shuffled.append(rng.permutation(np.flatnonzero(labels == c)))
    return shuffled


def _mixed(side: Indices, split_seed: int) -> Indices:
    return side[np.random.default_rng(derive_seed(split_seed, "split/order")).permutation(len(side))]


def label_split(found: re.Match[str], labels: Labels, num_classes: int, split_seed: int) -> Sides:
    """Give side A XX % of the lower half of the label range and YY % of the upper half, and side B the rest.

    At 50/50 both sides hold floor(n / 2) of a class with n samples, and position i of both sides
    has the same label; an odd sample is left out (29,997 a side on MNIST).
    """
    lower, upper = int(found[1]), int(found[2])
    if lower + upper != 100:
        raise ValueError(
            f"shift {found[0]!r}: {lower} + {upper} is {lower + upper}; the two must add up to 100, as in label_2080"
        )
    if lower == upper:
        return halves(found, labels, num_classes, split_seed)
    a, b = [], []
    for c, members in enumerate(_shuffled_classes(labels, num_classes, split_seed)):
        percent = lower if c < num_classes // 2 else upper
        cut = (len(members) * percent + 50) // 100  # rounded half up, in whole numbers
        a.append(members[:cut])
        b.append(members[cut:])
    return Sides(_mixed(np.concatenate(a), split_seed), _mixed(np.concatenate(b), split_seed))


def subset_split(found: re.Match[str], labels: Labels, num_classes: int, split_seed: int) -> Sides:
    """Give side A this fraction of every class, and side B the rest: the same shares of labels, unequal sizes."""
    fraction = _positive(found)
    if fraction >= 1:
        raise ValueError(f"shift {found[0]!r}: the fraction must lie between 0 and 1, as in subset_0.25")
    return _cut(labels, num_classes, split_seed, [fraction] * (num_classes if labels.ndim == 1 else 1))


def dirichlet_split(found: re.Match[str], labels: Labels, num_classes: int, split_seed: int) -> Sides:
    """Divide each class between the sides by a draw from Dirichlet(c, c), the label skew of federated learning (Hsu
    et al.): small c gives nearly every class to one side, large c approaches halves."""
    concentration = _positive(found)
    rng = np.random.default_rng(derive_seed(split_seed, "split/dirichlet"))
    return _cut(labels, num_classes, split_seed, list(rng.dirichlet([concentration] * 2, size=num_classes)[:, 0]))


def _cut(labels: Labels, num_classes: int, split_seed: int, fractions: Sequence[float]) -> Sides:
    a, b = [], []
    for members, fraction in zip(_shuffled_classes(labels, num_classes, split_seed), fractions, strict=True):
        cut = int(np.floor(len(members) * fraction + 0.5))
        a.append(members[:cut])
        b.append(members[cut:])
    return Sides(_mixed(np.concatenate(a), split_seed), _mixed(np.concatenate(b), split_seed))


def _positive(found: re.Match[str]) -> float:
    value = float(found[1])
    if value <= 0:
        raise ValueError(f"shift {found[0]!r}: the number must be above 0")
    return value


def no_split(_found: re.Match[str], labels: Labels, _num_classes: int, split_seed: int) -> Sides:
    """Give all samples to both sides, in one seeded order."""
    everything = _mixed(np.arange(len(labels)), split_seed)
    return Sides(everything, everything)


def halves(_found: re.Match[str], labels: Labels, num_classes: int, split_seed: int) -> Sides:
    """Give each side floor(n / 2) of each class, the same label at the same position, as label_5050 does."""
    a, b = [], []
    for members in _shuffled_classes(labels, num_classes, split_seed):
        half = len(members) // 2
        a.append(members[:half])
        b.append(members[half : 2 * half])
    return Sides(_mixed(np.concatenate(a), split_seed), _mixed(np.concatenate(b), split_seed))
