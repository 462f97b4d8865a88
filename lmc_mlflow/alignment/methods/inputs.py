"""The inputs of an alignment method: two networks, and images for the methods that need some."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

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
