"""Options that say how one network's units are permuted towards another's, and the table of methods with theirs."""

import dataclasses
from collections import ChainMap
from collections.abc import Collection
from dataclasses import dataclass

from lmc_mlflow.config.options import Section, option

METHOD_OPTIONS: dict[str, tuple[str, ...]] = {
    "weights": ("match_on", "align_seed", "max_sweeps"),
    "activations": ("align_seed", "num_matching_images"),
    "sinkhorn": (
        "match_on",
        "align_seed",
        "num_matching_images",
        "sinkhorn_objective",
        "sinkhorn_steps",
        "sinkhorn_lr",
        "sinkhorn_temperature",
    ),
}
"""Method of alignment -> options of `MatchingConfig` that it reads. Its call is in `alignment/methods/table.py`."""
NONE = "none"
ALIGN_CHOICES: Collection[str] = ChainMap(METHOD_OPTIONS, dict[str, tuple[str, ...]]({NONE: ()}))
"""Methods, or none: a view of the table, so that a new row is a choice of every `align`."""


@dataclass(frozen=True)
class AligningConfig(Section):
    """How `align` finds the permutation."""

    method: str = option(
        "weights",
        "what is compared: the weights, the units' activations on images, or soft permutations that are trained",
        choices=METHOD_OPTIONS,
    )
    rescale: bool = option(
        False,
        "true: bring B's ReLU units to the scales of A's too (one factor a unit, which leaves B's function as it is)",
    )

    heads: str = option(
        "permute",
        "permute: exchange attention heads, and units inside each; map: then also turn what queries and keys, and "
        "values and outputs, share in a head, by orthogonal matrices that leave B's function as it is",
        choices=("permute", "map"),
    )


@dataclass(frozen=True)
class PathAligningConfig(Section):
    """Whether `interpolate` permutes B towards A first."""

    align: str = option(
        NONE,
        "permute the units of B towards A by this method first; the path without alignment is measured and logged too",
        choices=ALIGN_CHOICES,
    )


@dataclass(frozen=True)
class ImageMatchingConfig(Section):
    """How methods that look at images, or train soft permutations, do it."""

    num_matching_images: int = option(
        2000,
        "activations, and sinkhorn with midpoint or path: number of images used, from A's training subset (star: from "
        "the star's own)",
        minimum=2,
    )
    sinkhorn_objective: str = option(
        "distance",
        "sinkhorn: minimize the distance of the networks, the loss at alpha 0.5, or the loss at random alphas",
        choices=("distance", "midpoint", "path"),
    )
    sinkhorn_steps: int = option(200, "sinkhorn: steps of Adam", minimum=1)
    sinkhorn_lr: float = option(0.1, "sinkhorn: learning rate of Adam", above=0.0)
    sinkhorn_temperature: float = option(1.0, "sinkhorn: a lower one makes soft permutations harder", above=0.0)


@dataclass(frozen=True)
class MatchingConfig(ImageMatchingConfig):
    """What a method compares, and for how long."""

    match_on: str = option(
        "parameters",
        "weights, and sinkhorn with distance: compare all trainable parameters, or weight matrices and kernels alone",
        choices=("parameters", "kernels"),
    )
    align_seed: int = option(
        0, "seed of the order of layers, the choice of images, and the first soft permutations", minimum=0
    )
    max_sweeps: int = option(
        100, "weights: largest number of passes over all layers; then it stops with a warning", minimum=1
    )

    def check_method(self, name: str, method: str) -> None:
        """Refuse options that were given and that the method does not read.

        Args:
            name: of the option that chose the method.
            method: its value.

        Raises:
            ValueError: naming the option, and the methods that read it.
        """
        for spec in dataclasses.fields(self):
            if getattr(self, spec.name) != spec.default and spec.name not in METHOD_OPTIONS.get(method, ()):
                used_by = [known for known, options in METHOD_OPTIONS.items() if spec.name in options]
                raise ValueError(
                    f"{spec.name} belongs to {name}={'|'.join(used_by)}; leave it out with {name}={method}"
                )
        if method == "sinkhorn" and self.sinkhorn_objective != "distance" and self.match_on != "parameters":
            raise ValueError(
                f"match_on belongs to sinkhorn_objective=distance; leave it out with {self.sinkhorn_objective}"
            )
