"""The table of alignment methods: what each needs and how it is called."""

from collections.abc import Callable
from dataclasses import dataclass

from lmc_mlflow.alignment.matching import Matching
from lmc_mlflow.alignment.methods.activations import match_activations
from lmc_mlflow.alignment.methods.inputs import MatchingInputs
from lmc_mlflow.alignment.methods.sinkhorn import match_sinkhorn
from lmc_mlflow.alignment.methods.weights import match_weights
from lmc_mlflow.config.choices import lookup
from lmc_mlflow.precision import products


@dataclass(frozen=True)
class Method:
    """One way to match units.

    Attributes:
        match: the call.
        needs_images: whether it looks at training images of A.
        needs_statistics: whether it runs the networks with batch norm's running statistics, which must then belong
            to their weights.
    """

    match: Callable[[MatchingInputs], Matching]
    needs_images: bool
    needs_statistics: bool


@products("float32")
def align(method: str, inputs: MatchingInputs) -> Matching:
    """Find a permutation of B's units towards A's by a method of the table.

    Raises:
        ValueError: there is no such method, or the inputs do not fit one another.
    """
    return lookup(METHODS, method, "method").match(inputs)


def _by_weights(inputs: MatchingInputs) -> Matching:
    return match_weights(
        inputs.symmetry,
        inputs.a,
        inputs.b,
        seed=inputs.seed,
        max_sweeps=inputs.config.max_sweeps,
        include=inputs.names(),
        start=inputs.start,
    )


def _by_activations(inputs: MatchingInputs) -> Matching:
    images = (images for images, _ in inputs.batches())
    return match_activations(inputs.symmetry, inputs.network, inputs.a, inputs.b, images)


def _by_sinkhorn(inputs: MatchingInputs) -> Matching:
    config = inputs.config
    return match_sinkhorn(
        inputs.symmetry,
        inputs.network,
        inputs.a,
        inputs.b,
        objective=config.sinkhorn_objective,
        batches=list(inputs.batches()),
        steps=config.sinkhorn_steps,
        lr=config.sinkhorn_lr,
        temperature=config.sinkhorn_temperature,
        seed=inputs.seed,
        include=inputs.names(),
        start=inputs.start,
    )


METHODS: dict[str, Method] = {
    "weights": Method(_by_weights, needs_images=False, needs_statistics=False),
    "activations": Method(_by_activations, needs_images=True, needs_statistics=True),
    "sinkhorn": Method(_by_sinkhorn, needs_images=True, needs_statistics=False),
}
"""Name of a method -> its row; the options that it reads are in `config.alignment.METHOD_OPTIONS`."""
