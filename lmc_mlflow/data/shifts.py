"""How does one data set become two sides? Index lists that depend on the labels and split_seed alone."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.config.choices import unknown_name
from lmc_mlflow.seeds import derive_seed

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Sides:
    """Indices into the training set, in order: position i of a side is its i-th sample."""

    a: Indices
    b: Indices


@dataclass(frozen=True)
class Shift:
    """A family of shifts: how its names look, and how one of them splits labels (N,) of K classes."""

    form: str
    meaning: str
    pattern: re.Pattern[str]
    split: Callable[[re.Match[str], Indices, int, int], Sides]


def split_sides(shift: str, labels: Indices, num_classes: int, split_seed: int) -> Sides:
    """The two sides of a shift.

    Args:
        shift: `label_5050`, `label_2080`, ..., `none`.
        labels: (N,) class of each training sample.
        num_classes: K; labels lie in 0..K-1.
        split_seed: the split depends on it and on nothing else that is random.

    Raises:
        ValueError: unknown shift, or a side left without samples.
    """
    for family in SHIFTS.values():
        found = family.pattern.fullmatch(shift)
        if found:
            sides = family.split(found, labels, num_classes, split_seed)
            if len(sides.a) == 0 or len(sides.b) == 0:
                raise ValueError(
                    f"shift {shift!r}: a side is left without samples ({len(labels)} images of {num_classes} classes)"
                )
            return sides
    raise unknown_name("shift", shift, [family.form for family in SHIFTS.values()])


def _shuffled_classes(labels: Indices, num_classes: int, split_seed: int) -> list[Indices]:
    shuffled = []
    for c in range(num_classes):
        rng = np.random.default_rng(derive_seed(split_seed, "split/class", c))
        shuffled.append(rng.permutation(np.flatnonzero(labels == c)))
    return shuffled


def _mixed(side: Indices, split_seed: int) -> Indices:
    return side[np.random.default_rng(derive_seed(split_seed, "split/order")).permutation(len(side))]


def _label_split(found: re.Match[str], labels: Indices, num_classes: int, split_seed: int) -> Sides:
    """Side A holds XX % of the lower half of the label range and YY % of the upper half, side B the rest.

    At 50/50 both sides hold floor(n / 2) of a class with n samples, and position i of both sides
    has the same label; an odd sample is left out (29,997 a side on MNIST).
    """
    lower, upper = int(found[1]), int(found[2])
    if lower + upper != 100:
        raise ValueError(
            f"shift {found[0]!r}: {lower} + {upper} is {lower + upper}; the two must add up to 100, as in label_2080"
        )
    a, b = [], []
    for c, members in enumerate(_shuffled_classes(labels, num_classes, split_seed)):
        if lower == upper:
            half = len(members) // 2
            a.append(members[:half])
            b.append(members[half : 2 * half])
        else:
            percent = lower if c < num_classes // 2 else upper
            cut = (len(members) * percent + 50) // 100  # rounded half up, in whole numbers
            a.append(members[:cut])
            b.append(members[cut:])
    return Sides(_mixed(np.concatenate(a), split_seed), _mixed(np.concatenate(b), split_seed))


def _subset_split(found: re.Match[str], labels: Indices, num_classes: int, split_seed: int) -> Sides:
    """Side A holds this fraction of every class, side B the rest: the same labels in shares, sides of unequal size."""
    fraction = _positive(found)
    if fraction >= 1:
        raise ValueError(f"shift {found[0]!r}: the fraction must lie between 0 and 1, as in subset_0.25")
    return _cut(labels, num_classes, split_seed, [fraction] * num_classes)


def _dirichlet_split(found: re.Match[str], labels: Indices, num_classes: int, split_seed: int) -> Sides:
    """Each class is divided between the sides by a draw from Dirichlet(c, c): the label skew of federated learning
    (Hsu et al.); small c gives nearly every class to one side, large c approaches halves."""
    concentration = _positive(found)
    rng = np.random.default_rng(derive_seed(split_seed, "split/dirichlet"))
    return _cut(labels, num_classes, split_seed, list(rng.dirichlet([concentration] * 2, size=num_classes)[:, 0]))


def _cut(labels: Indices, num_classes: int, split_seed: int, fractions: Sequence[float]) -> Sides:
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


def _no_split(_found: re.Match[str], labels: Indices, _num_classes: int, split_seed: int) -> Sides:
    everything = _mixed(np.arange(len(labels)), split_seed)
    return Sides(everything, everything)


SHIFTS: Mapping[str, Shift] = {
    "label": Shift(
        "label_XXYY",
        "side A holds XX % of each lower class and YY % of each upper one, side B the rest; label_5050 "
        "is the covariate shift",
        re.compile(r"label_(\d\d)(\d\d)"),
        _label_split,
    ),
    "subset": Shift(
        "subset_<fraction>",
        "side A holds this fraction of every class, side B the rest: sides of unequal size, as in subset_0.25",
        re.compile(r"subset_(\d+(?:\.\d+)?)"),
        _subset_split,
    ),
    "dirichlet": Shift(
        "dirichlet_<concentration>",
        "each class is divided by a draw from Dirichlet(c, c), the label skew of federated learning",
        re.compile(r"dirichlet_(\d+(?:\.\d+)?)"),
        _dirichlet_split,
    ),
    "none": Shift("none", "both sides see the same data; only noise can differ", re.compile(r"none"), _no_split),
}
