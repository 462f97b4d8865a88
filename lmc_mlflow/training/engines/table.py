"""The table of training engines, and the choice among them for some networks."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from lmc_mlflow.config.choices import lookup
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.predictions.scores import Scores
from lmc_mlflow.training.engines.captured import CapturedTraining
from lmc_mlflow.training.engines.channels_last import ChannelsLastTraining, why_not_channels_last
from lmc_mlflow.training.engines.exact import ExactTraining
from lmc_mlflow.training.engines.stacked.engine import StackedTraining, why_not_stacked
from lmc_mlflow.training.trainee import Trainee

logger = logging.getLogger(__name__)


class Training(Protocol):
    """Trains some networks by one epoch at a time."""

    def train_epoch(self, epoch: int) -> list[Scores]:
        """Train each network by one pass (in place); returns means over the batches as they were trained on."""


@dataclass(frozen=True)
class TrainingEngine:
    """A way to train several networks.

    Attributes:
        start: (trainees, configuration, whether images are flipped) -> training.
        why_not: (trainees, configuration) -> None if it can train them, else the reason why it cannot.
        is_exact: whether it equals the paper's algorithm to the last bit; another one differs by rounding.
        of_convolutions: whether it is for networks with convolutions, or for networks without; None: for both.
    """

    start: Callable[[Sequence[Trainee], OptimizationConfig, bool], Training]
    why_not: Callable[[Sequence[Trainee], OptimizationConfig], str | None]
    is_exact: bool
    of_convolutions: bool | None


def _start_convolutions(trainees: Sequence[Trainee], config: OptimizationConfig, flips: bool) -> Training:
    """Start the fast training of convolutional networks: on a GPU by graphs, on a CPU with channels last."""
    on_cpu = trainees[0].labels.device.type == "cpu"
    return (ChannelsLastTraining if on_cpu else CapturedTraining)(trainees, config, flips)


TRAINING_ENGINES: Mapping[str, TrainingEngine] = {
    "convolutions": TrainingEngine(
        _start_convolutions,
        lambda trainees, _config: why_not_channels_last(trainees),
        is_exact=False,
        of_convolutions=True,
    ),
    "stacked": TrainingEngine(StackedTraining, why_not_stacked, is_exact=False, of_convolutions=False),
    "exact": TrainingEngine(ExactTraining, lambda _trainees, _config: None, is_exact=True, of_convolutions=None),
}
"""The fast ones first."""
ENGINE_CHOICES: Mapping[str, Callable[[TrainingEngine], bool]] = {
    "exact": lambda engine: engine.is_exact,
    "fast": lambda _engine: True,
}
"""A value of the option `engine` -> which rows it allows; the first that can train the networks does."""


def choose_engine(choice: str, trainees: Sequence[Trainee], config: OptimizationConfig) -> TrainingEngine:
    """Return the first engine that a choice allows and that can train these networks.

    Where no fast one can, a warning says why.

    Raises:
        ValueError: there is no such choice.
    """
    allows = lookup(ENGINE_CHOICES, choice, "engine")
    convolutions = any(isinstance(module, nn.Conv2d) for module in trainees[0].network.modules())
    for engine in TRAINING_ENGINES.values():
        if allows(engine) and engine.of_convolutions in (convolutions, None):
            reason = engine.why_not(trainees, config)
            if reason is None:
                return engine
            logger.warning("engine=%s cannot train these networks (%s); engine=exact does", choice, reason)
    raise AssertionError("the exact engine trains all networks")
