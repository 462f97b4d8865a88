"""Trains pairs in step, epoch by epoch, each until its budget is used up."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lmc_mlflow.batches import Images
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.training.loop import EpochReport, train, train_on_devices
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.pair.recorder import Recorder
from lmc_mlflow.workflows.pair.stopping import StopRule


def train_in_step(
    recorders: Sequence[Recorder],
    test: tuple[Images, Tensor],
    config: OptimizationConfig,
    flips: bool,
    devices: Sequence[torch.device],
    stop: StopRule | None = None,
) -> str:
    """Train the sides of several pairs until each is done; where one is done, the others go on without it.

    Args:
        recorders: of the pairs, all after the same epoch.
        test: images and labels.
        config: how to train.
        flips: whether images are flipped at random.
        devices: one, or several that share every batch.
        stop: stops hopeless pairs; None: all train to their end.

    Returns:
        The engine that trained them.
    """
    while True:
        active = {recorder: recorder.unfinished() for recorder in recorders}
        engine = _train_until_one_ends(active, test, config, flips, devices, stop)
        if not any(recorder.unfinished() for recorder in recorders):
            return engine


def _train_until_one_ends(
    active: dict[Recorder, list[Trainee]],
    test: tuple[Images, Tensor],
    config: OptimizationConfig,
    flips: bool,
    devices: Sequence[torch.device],
    stop: StopRule | None,
) -> str:
    trainees = [trainee for some in active.values() for trainee in some]
    first = next((recorder.progress.epoch for recorder, some in active.items() if some), config.epochs) + 1

    def on_epoch(epoch: int, reports: list[EpochReport]) -> bool:
        remaining = iter(reports)
        for recorder, some in active.items():
            if some:
                recorder.on_epoch(epoch, [next(remaining) for _ in some])
        if stop is not None:
            stop.stop_hopeless(epoch, list(active))
        return any(len(recorder.unfinished()) < len(some) for recorder, some in active.items() if some)

    if not trainees:  # the last process had trained all of them; which engine they had is said all the same
        trainees = [trainee for recorder in active for trainee in recorder.trainees]
    given = (trainees, test, config, flips, first, on_epoch)
    return train_on_devices(*given, devices) if len(devices) > 1 else train(*given, config.engine)
