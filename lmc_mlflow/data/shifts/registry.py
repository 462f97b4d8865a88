"""How does one data set become two sides? The table of shifts: which samples each side holds, and what it sees."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lmc_mlflow.config.choices import unknown_name
from lmc_mlflow.data.shifts.renderings import (
    Rendering,
    corrupted,
    other_bands,
    rotated,
)
from lmc_mlflow.data.shifts.sides import (
    Labels,
    Sides,
    dirichlet_split,
    halves,
    label_split,
    no_split,
    subset_split,
)

Split = Callable[[re.Match[str], Labels, int, int], Sides]


@dataclass(frozen=True)
class Shift:
    """A family of shifts: how its names look, how one of them splits labels (N,) of K classes, and what side B sees."""

    form: str
    meaning: str
    pattern: re.Pattern[str]
    split: Split
    render: Callable[[re.Match[str]], Rendering] | None = None


def split_sides(shift: str, labels: Labels, num_classes: int, split_seed: int) -> Sides:
    """The two sides of a shift.

    Args:
        shift: `label_5050`, `label_2080`, ..., `none`.
        labels: (N,) class of each training sample, or (N, K) zeros and ones.
        num_classes: K; labels lie in 0..K-1.
        split_seed: the split depends on it and on nothing else that is random.

    Raises:
        ValueError: unknown shift, or a side left without samples.
    """
    family, found = _family_of(shift)
    sides = family.split(found, labels, num_classes, split_seed)
    if len(sides.a) == 0 or len(sides.b) == 0:
        raise ValueError(
            f"shift {shift!r}: a side is left without samples ({len(labels)} images of {num_classes} classes)"
        )
    return sides


def rendering_of(shift: str) -> Rendering | None:
    """What the sides of a shift see of an image, or None where both see it as it is.

    Raises:
        ValueError: unknown shift, band or corruption, or sides of different channel counts.
    """
    family, found = _family_of(shift)
    return None if family.render is None else family.render(found)


def _family_of(shift: str) -> tuple[Shift, re.Match[str]]:
    for family in SHIFTS.values():
        found = family.pattern.fullmatch(shift)
        if found:
            return family, found
    raise unknown_name("shift", shift, [family.form for family in SHIFTS.values()])


SHIFTS: Mapping[str, Shift] = {
    "label": Shift(
        "label_XXYY",
        "side A holds XX % of each lower class and YY % of each upper one, side B the rest; label_5050 "
        "is the covariate shift",
        re.compile(r"label_(\d\d)(\d\d)"),
        label_split,
    ),
    "subset": Shift(
        "subset_<fraction>",
        "side A holds this fraction of every class, side B the rest: sides of unequal size, as in subset_0.25",
        re.compile(r"subset_(\d+(?:\.\d+)?)"),
        subset_split,
    ),
    "dirichlet": Shift(
        "dirichlet_<concentration>",
        "each class is divided by a draw from Dirichlet(c, c), the label skew of federated learning",
        re.compile(r"dirichlet_(\d+(?:\.\d+)?)"),
        dirichlet_split,
    ),
    "corrupt": Shift(
        "corrupt_<kind>_<severity>",
        "halves as in label_5050, side B's images with noise, blur, contrast, brightness or jpeg of severity 1 to 5",
        re.compile(r"corrupt_([a-z]+)_(\d+)"),
        halves,
        corrupted,
    ),
    "rotate": Shift(
        "rotate_<degrees>",
        "halves as in label_5050, side B's images turned counter-clockwise, as in rotate_30",
        re.compile(r"rotate_(-?\d+(?:\.\d+)?)"),
        halves,
        rotated,
    ),
    "bands": Shift(
        "bands_<x>_<y>",
        "bigearthnet: both sides see the same patches, side A in band (or combination) x, side B in y; "
        "bands_B02_B08, bands_natural_infrared, bands_natural_agriculture, bands_infrared_agriculture, ...",
        re.compile(r"bands_([A-Za-z0-9]+)_([A-Za-z0-9]+)"),
        no_split,
        other_bands,
    ),
    "none": Shift("none", "both sides see the same data; only noise can differ", re.compile(r"none"), no_split),
}
