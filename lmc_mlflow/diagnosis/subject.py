"""The two networks that are diagnosed, with the images they are measured on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from lmc_mlflow.alignment import Symmetry
from lmc_mlflow.batches import Images
from lmc_mlflow.weights import State

Split = tuple[Images, Tensor]
"""Images (N, C, H, W) and labels, on the device."""


@dataclass(frozen=True)
class Subject:
    """Two networks of one architecture.

    Attributes:
        network: gives the architecture and the device; its own weights do not matter.
        a: state at alpha 0, on the device.
        b: state at alpha 1, on the device.
        test: images on which the barrier is explained.
        own_training: a sample of the training images of A and one of B's; empty where nobody knows them.
        calibration: training images of both sides together, for batch norm; None where nobody knows them.
        symmetry: of the architecture; None where none could be derived.
        rescaled_inputs: loads the test images in other scalings, in the same order: name -> images.
        epochs: of the training of A and of B; None where nobody knows.
    """

    network: nn.Module
    a: State
    b: State
    test: Split
    own_training: tuple[Split, ...] = ()
    calibration: Images | None = None
    symmetry: Symmetry | None = None
    rescaled_inputs: Callable[[], Mapping[str, Images]] = dict
    epochs: tuple[int | None, int | None] = (None, None)
