"""The table of alignment methods: what each needs and how it is called."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lmc_mlflow.alignment.matching import Matching
from lmc_mlflow.alignment.methods.activations import match_activations
from lmc_mlflow.alignment.methods.sinkhorn import match_sinkhorn
from lmc_mlflow.alignment.methods.weights import match_weights
from lmc_mlflow.alignment.symmetry import Permutations, Symmetry
from lmc_mlflow.batches import Images
from lmc_mlflow.config.alignment import MatchingConfig
from lmc_mlflow.config.choices import lookup
from lmc_mlflow.models.parameters import MATCHED_ON
from lmc_mlflow.seeds import stream
from lmc_mlflow.weights import State

BATCH_SIZE = 500


@dataclass(frozen=True)
class LabelledSample:
    """The images that methods may look at, and their labels, on the device.

    Attributes:
        images: training images of A.
        labels: theirs.
    """

    images: Images
    labels: Tensor

    def batches(self, config: MatchingConfig) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield `num_matching_images` images and their labels, always the same ones in the same order."""
        order = torch.randperm(self.images.shape[0], generator=stream(config.align_seed, "align/images"))
        chosen = order[: config.num_matching_images]
        labels = self.labels[chosen.to(self.labels.device)]
        yield from zip(self.images.batches(chosen, BATCH_SIZE), torch.split(labels, BATCH_SIZE), strict=True)


@dataclass(frozen=True)
class MatchingInputs:
    """All that a method may use to match B's units to A's.

    Attributes:
        symmetry: of the network.
        network: of the architecture, on the device; its own weights do not matter.
        a: state whose units keep their order, on the device.
        b: state whose units are matched, on the device.
        config: what is compared, and for how long.
        seed: of the method's own draws.
        sample: images for the methods that need some; None for the others.
        start: permutations to begin at; None for the identity.
    """

    symmetry: Symmetry
    network: nn.Module
    a: State
    b: State
    config: MatchingConfig
    seed: int
    sample: LabelledSample | None = None
    start: Permutations | None = None

    def names(self) -> list[str]:
        """List the tensors that are compared."""
        return lookup(MATCHED_ON, self.config.match_on, "match_on")(self.network)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images and labels of the sample."""
        assert self.sample is not None, "this method needs images: see its row"
        return self.sample.batches(self.config)


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
