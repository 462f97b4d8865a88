"""Family, depth and variant of a network, and whether it has batch norm, by its name."""

import re
from typing import NamedTuple

FAMILIES = {
    "MLP": (r"mlp", r"mlp_l(\d+)_w[\d_]*?((?:_bn)?(?:_dropout)?)"),
    "ResNet": (r"(timm:)?resnet", r"resnet(\d+)(_s222|)"),
    "VGG": (r"(timm:)?vgg", r"vgg(\d+)(\w*)"),
}
"""Family -> how the names of its networks begin, and the whole form of a name with depth and variant."""
OTHER = "other"
LINEAR = r"linear_l(\d+)(?:_w\d+)?"
"""Names of linear networks of one width; the group holds the number of layers."""
ONE_HIDDEN = r"mlp_l1_w\d+"
"""Names of MLPs with one hidden layer and nothing between its layers."""


class Architecture(NamedTuple):
    """A network's family (its own name where it has none), its depth (0: unknown) and its variant."""

    family: str
    depth: int
    variant: str


def family_of(model: str) -> str:
    """Name the family that a model belongs to, or `other`."""
    return next((family for family, (beginning, _) in FAMILIES.items() if re.match(beginning, model)), OTHER)


def architecture(model: str) -> Architecture:
    """Read family, depth and variant from a network's name: `mlp_l3_w8_8_8_bn` gives (MLP, 3, bn).

    A network whose depth is not in its name is a family of its own, so that it is compared with no other.
    """
    for family, (_, form) in FAMILIES.items():
        if found := re.fullmatch(form, model.removeprefix("timm:")):
            return Architecture(family, int(found[1]), found[2].strip("_"))
    return Architecture(model, 0, "")


def has_batch_norm(model: str) -> bool:
    """Tell whether a network of the papers has batch norm, and so more than one measurement of a path."""
    return "_bn" in model or not model.startswith(("mlp_", "linear_", "patches_"))


def linear_depth(model: str) -> int | None:
    """Read the number of layers of a linear network from its name; None for other networks."""
    found = re.fullmatch(LINEAR, model)
    return int(found[1]) if found else None
