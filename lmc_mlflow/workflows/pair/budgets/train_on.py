"""Trains networks on one device, or on several that share every batch."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lmc_mlflow.batches import Images
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.training.loop import EpochReport, train, train_on_devices
from lmc_mlflow.training.trainee import Trainee


def train_on(
    trainees: Sequence[Trainee],
    test: tuple[Images, Tensor],
    config: OptimizationConfig,
    flips: bool,
    epochs: range,
    on_epoch: Callable[[int, list[EpochReport]], None],
    devices: Sequence[torch.device],
) -> str:
    """Train networks for some epochs; all arguments but `devices`, of which the first holds them, are those of `train`.

    Returns:
        The engine that trained them; that of the configuration where there is no epoch to train.
    """
    if not epochs:
        return config.engine
    if len(devices) > 1:
        return train_on_devices(trainees, test, config, flips, epochs, on_epoch, devices)
    return train(trainees, test, config, flips, epochs, on_epoch, config.engine)
