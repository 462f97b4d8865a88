"""Which options say how one network's units are permuted towards another's?"""

import dataclasses
from dataclasses import dataclass

from lmc_mlflow.config.options import Section, option

METHODS = ("weights", "activations", "sinkhorn")
NONE = "none"


@dataclass(frozen=True)
class AligningConfig(Section):
    """How `align` finds the permutation."""

    method: str = option(
        "weights",
        "what is compared: the weights, the units' activations on images, or soft permutations that are trained",
        choices=METHODS,
    )


@dataclass(frozen=True)
class PathAligningConfig(Section):
    """Whether `interpolate` permutes B towards A first."""

    align: str = option(
        NONE,
        "permute the units of B towards A by this method first; the path without is walked and logged too",
        choices=(NONE, *METHODS),
    )


@dataclass(frozen=True)
class MatchingConfig(Section):
    """What a method compares, and for how long."""

    match_on: str = option(
        "parameters",
        "weights, and sinkhorn's distance: whether biases and normalization's scales count, or kernels alone",
        choices=("parameters", "kernels"),
    )
    align_seed: int = option(0, "seed of the order of layers, of the choice of images, of soft permutations", minimum=0)
    max_sweeps: int = option(100, "weights: passes over all layers before it stops with a warning", minimum=1)
    num_matching_images: int = option(
        2000, "activations, and sinkhorn's losses: images of A's training side that are looked at", minimum=2
    )
    sinkhorn_objective: str = option(
        "distance",
        "sinkhorn: bring down the distance of the networks, the loss midway, or the loss at random alphas",
        choices=("distance", "midpoint", "path"),
    )
    sinkhorn_steps: int = option(200, "sinkhorn: steps of Adam", minimum=1)
    sinkhorn_lr: float = option(0.1, "sinkhorn: Adam's rate", above=0.0)
    sinkhorn_temperature: float = option(1.0, "sinkhorn: the lower, the harder soft permutations are", above=0.0)

    def check_method(self, name: str, method: str) -> None:
        """Refuse what was given and has no meaning for the method.

        Args:
            name: of the option that chose the method.
            method: its value.

        Raises:
            ValueError: naming the option, and the methods that it belongs to.
        """
        for spec in dataclasses.fields(self):
            used_by = _USED_BY.get(spec.name, METHODS)
            if getattr(self, spec.name) != spec.default and method not in used_by:
                belongs = f"{name}={'|'.join(used_by)}"
                raise ValueError(f"{spec.name} belongs to {belongs}; leave it out with {name}={method}")
        by_loss = method == "sinkhorn" and self.sinkhorn_objective != "distance"
        if method == "sinkhorn" and by_loss and self.match_on != "parameters":
            raise ValueError(
                f"match_on belongs to sinkhorn_objective=distance; leave it out with {self.sinkhorn_objective}"
            )


_USED_BY = {
    "match_on": ("weights", "sinkhorn"),
    "max_sweeps": ("weights",),
    "num_matching_images": ("activations", "sinkhorn"),
    "sinkhorn_objective": ("sinkhorn",),
    "sinkhorn_steps": ("sinkhorn",),
    "sinkhorn_lr": ("sinkhorn",),
    "sinkhorn_temperature": ("sinkhorn",),
}
