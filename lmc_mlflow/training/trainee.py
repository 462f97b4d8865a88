"""What is a network in training, and what does its next step depend on?"""

from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.optim import Optimizer

from lmc_mlflow.images import Images
from lmc_mlflow.training.noise import NoiseStream
from lmc_mlflow.training.trace import EpochTrace


@dataclass
class Trainee:
    """One network in training, with all that its next step depends on.

    Attributes:
        side: `A` or `B`.
        images: N scaled images, handed out on the training device.
        labels: (N,) class indices or (N, K) zeros and ones, on the same device.
        traces: what was drawn in each epoch so far.
        train_seconds: spent in training this network so far, tests left out.
        test_seconds: spent in testing it by this process.
    """

    side: str
    network: nn.Module
    optimizer: Optimizer
    noise: NoiseStream
    images: Images
    labels: Tensor
    traces: list[EpochTrace] = field(default_factory=list)
    train_seconds: float = 0.0
    test_seconds: float = 0.0
