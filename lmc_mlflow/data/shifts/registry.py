"""The table of shifts: which samples each side holds, and what it sees of an image."""

# Nothing here imports torch, so that flags and grids can be checked against the table at once.

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lmc_mlflow.config.choices import unknown_name
from lmc_mlflow.data.readers.bigearthnet.bands import distance_nm
from lmc_mlflow.data.shifts.own_shift import own_rendering, own_split
from lmc_mlflow.data.shifts.renderings import (
    Rendering,
    corruption,
    other_bands,
    rotation,
)
from lmc_mlflow.data.shifts.severity import Place, Severity, text_of
from lmc_mlflow.data.shifts.sides import (
    Labels,
    Sides,
    dirichlet_split,
    halves,
    label_split,
    no_split,
    subset_split,
)
from lmc_mlflow.own_code import FORM, is_own, plugins

Split = Callable[[re.Match[str], Labels, int, int], Sides]


@dataclass(frozen=True)
class Shift:
    """A row of the table: a family of shifts whose names look alike.

    Attributes:
        form: how the names look, for messages and help texts.
        meaning: for the help text and the README.
        pattern: matches the names.
        split: divides labels (N,) of K classes, or (N, K), into the samples of both sides.
        render: makes what the sides see of an image; None, or what returns None: both see it as it is.
        divides_by_class: whether every image must have one class.
        chooses_bands: whether the images must be of bands, of which the shift chooses.
        severity: the number in its names that says how strong it is; None: there is none.
        renders_tests: whether what side B sees of an image makes sense as a test set of its own, for any network.
    """

    form: str
    meaning: str
    pattern: re.Pattern[str]
    split: Split
    render: Callable[[re.Match[str]], Rendering | None] | None = None
    divides_by_class: bool = False
    chooses_bands: bool = False
    severity: Severity | None = None
    renders_tests: bool = False


def split_sides(shift: str, labels: Labels, num_classes: int, split_seed: int) -> Sides:
    """Divide the training samples into the two sides of a shift.

    Args:
        shift: `label_5050`, `label_2080`, ..., `none`.
        labels: (N,) class of each training sample, or (N, K) zeros and ones.
        num_classes: K; labels lie in 0..K-1.
        split_seed: the split depends on it and on nothing else that is random.

    Raises:
        ValueError: unknown shift, images of several labels that it would divide by class, or a side left without
            samples.
    """
    family, found = _match(shift)
    if family.divides_by_class and labels.ndim == 2:
        others = ", ".join(other.form for other in SHIFTS.values() if not other.divides_by_class)
        raise ValueError(
            f"shift {shift!r} divides images by their class, and these have several labels each; choose {others}"
        )
    sides = family.split(found, labels, num_classes, split_seed)
    if len(sides.a) == 0 or len(sides.b) == 0:
        raise ValueError(
            f"shift {shift!r}: a side is left without samples ({len(labels)} images of {num_classes} classes)"
        )
    return sides


def rendering_of(shift: str) -> Rendering | None:
    """Return what the sides of a shift see of an image, or None where both see it as it is.

    Raises:
        ValueError: unknown shift, band or corruption, or sides of different channel counts.
    """
    family, found = _match(shift)
    return None if family.render is None else family.render(found)


def shift_row(shift: str) -> Shift:
    """Look up the row of a shift by its name.

    Raises:
        ValueError: unknown shift; the message lists the forms there are.
    """
    return _match(shift)[0]


def place_of(shift: str) -> Place | None:
    """Find the place of a shift among those of its kind; None where its name has no number.

    Raises:
        ValueError: unknown shift.
    """
    family, found = _match(shift)
    severity = family.severity
    if severity is None:
        return None
    kind = severity.name(found, 1)
    return Place(kind, severity.number(found), severity.is_whole, severity.is_geometric)


def shift_with(shift: str, number: float) -> str:
    """Name the shift of the same kind with another number.

    Raises:
        ValueError: a shift whose name has no number.
    """
    family, found = _match(shift)
    if family.severity is None:
        raise ValueError(f"shift {shift!r} has no number that says how strong it is")
    return family.severity.name(found, number)


def distance_of_bands(shift: str) -> float | None:
    """Give the distance in nanometres between the bands that both sides see; None of a shift that chooses none."""
    found = next((row.pattern.fullmatch(shift) for row in SHIFTS.values() if row.chooses_bands), None)
    return distance_nm(found[1], found[2]) if found else None


def renders_tests(name: str) -> bool:
    """Tell whether a name is that of a shift whose rendering makes a test set of its own, as in `rotate_30`."""
    return any(row.renders_tests and row.pattern.fullmatch(name) for row in SHIFTS.values())


def _match(shift: str) -> tuple[Shift, re.Match[str]]:
    for family in SHIFTS.values():
        if family is SHIFTS[FORM] and not is_own("shift", shift):
            continue
        found = family.pattern.fullmatch(shift)
        if found:
            return family, found
    raise unknown_name("shift", shift, [*(family.form for family in SHIFTS.values()), *plugins("shift")])


SHIFTS: Mapping[str, Shift] = {
    "label": Shift(
        "label_XXYY",
        "side A holds XX % of each lower class and YY % of each upper one, side B the rest; label_5050 "
        "is the covariate shift",
        re.compile(r"label_(\d\d)(\d\d)"),
        label_split,
        divides_by_class=True,
        severity=Severity(
            lambda found: float(found[2]),  # label_5050 is the weakest: both sides hold half of each class
            lambda _, number: f"label_{100 - round(number):02d}{round(number):02d}",
            is_whole=True,
        ),
    ),
    "subset": Shift(
        "subset_<fraction>",
        "side A holds this fraction of every class, side B the rest: sides of unequal size, as in subset_0.25",
        re.compile(r"subset_(\d+(?:\.\d+)?)"),
        subset_split,
        severity=Severity(lambda found: float(found[1]), lambda _, number: f"subset_{text_of(number)}"),
    ),
    "dirichlet": Shift(
        "dirichlet_<concentration>",
        "each class is divided by a draw from Dirichlet(c, c), the label skew of federated learning",
        re.compile(r"dirichlet_(\d+(?:\.\d+)?)"),
        dirichlet_split,
        divides_by_class=True,
        severity=Severity(
            lambda found: float(found[1]), lambda _, number: f"dirichlet_{text_of(number)}", is_geometric=True
        ),
    ),
    "corrupt": Shift(
        "corrupt_<kind>_<severity>",
        "halves as in label_5050, side B's images with noise, blur, contrast, brightness or jpeg of severity 1 to 5",
        re.compile(r"corrupt_([a-z]+)_(\d+)"),
        halves,
        corruption,
        severity=Severity(
            lambda found: float(found[2]), lambda found, number: f"corrupt_{found[1]}_{round(number)}", is_whole=True
        ),
        renders_tests=True,
    ),
    "rotate": Shift(
        "rotate_<degrees>",
        "halves as in label_5050, side B's images turned counter-clockwise, as in rotate_30",
        re.compile(r"rotate_(-?\d+(?:\.\d+)?)"),
        halves,
        rotation,
        severity=Severity(lambda found: float(found[1]), lambda _, number: f"rotate_{text_of(number)}"),
        renders_tests=True,
    ),
    "bands": Shift(
        "bands_<x>_<y>",
        "bigearthnet: both sides see the same patches, side A in band (or combination) x, side B in y; "
        "bands_B02_B08, bands_natural_infrared, bands_natural_agriculture, bands_infrared_agriculture, ...",
        re.compile(r"bands_([A-Za-z0-9]+)_([A-Za-z0-9]+)"),
        no_split,
        other_bands,
        chooses_bands=True,
    ),
    "none": Shift("none", "both sides see the same data; only noise can differ", re.compile(r"none"), no_split),
    FORM: Shift(
        FORM,
        "your own: split(labels, generator) returns the positions of side A and of side B; its attribute render, if it "
        "has one, makes what side B sees of images",
        re.compile(r".+"),
        own_split,
        own_rendering,
    ),
}
