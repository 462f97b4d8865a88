"""Families in which the papers compare networks, from the table of networks."""

from typing import NamedTuple

from lmc_mlflow.models.families import facts_of

FAMILIES = ("MLP", "ResNet", "VGG")
"""Families that Hepburn et al. compare."""
VARIANTS = ("", "bn", "dropout", "bn_dropout", "s222")
"""Variants of those families that Hepburn et al. train."""
OTHER = "other"


class Architecture(NamedTuple):
    """A network's family (its own name where it has none), its depth (0: unknown) and its variant."""

    family: str
    depth: int
    variant: str


class ShapeAndSlope(NamedTuple):
    """Layers and hidden widths of an MLP in words, the negative slope of its activation, and its hidden layers."""

    shape: str
    slope: float
    depth: int


def family_of(model: str) -> str:
    """Name the family that a network belongs to, or `other`."""
    found = facts_of(model).family
    return found if found in FAMILIES else OTHER


def architecture(model: str) -> Architecture:
    """Return family, depth and variant of a network like those of Hepburn et al., as in (MLP, 3, bn).

    Any other network, as one with layer norm, is a family of its own, so that it is compared with no other.
    """
    found = facts_of(model)
    known = found.family in FAMILIES and found.depth > 0 and found.variant in VARIANTS
    return Architecture(found.family, found.depth, found.variant) if known else Architecture(model, 0, "")


def linear_layers(model: str) -> int:
    """Return the number of layers of a linear network; 0 for any other network."""
    found = facts_of(model)
    return found.depth if found.family == "linear" else 0


def shape_and_slope(model: str) -> ShapeAndSlope:
    """Return the shape of an MLP without norm and dropout, or of a linear network (slope 1); empty for all others."""
    found = facts_of(model)
    if found.slope is None or not found.widths or found.norm or found.dropout:
        return ShapeAndSlope("", float("nan"), 0)
    depth = len(found.widths)
    return ShapeAndSlope(f"{depth + 1} layers, {found.widths_text}", found.slope, depth)


def is_minimal(model: str) -> bool:
    """Tell whether a network is an MLP with one hidden layer of ReLUs, without norm or dropout."""
    found = facts_of(model)
    return (found.family, found.depth, found.variant) == ("MLP", 1, "")
