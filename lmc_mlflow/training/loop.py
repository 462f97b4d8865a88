"""Trains several networks together, epoch by epoch, and tests each of them after every epoch."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from lmc_mlflow.batches import Images
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.precision import products
from lmc_mlflow.predictions.scores import Scores
from lmc_mlflow.training.engines.data_parallel.engine import data_parallel
from lmc_mlflow.training.engines.table import Training, choose_engine
from lmc_mlflow.training.trainee import Trainee


@dataclass(frozen=True)
class EpochReport:
    """Scores of one network after one epoch: means over the batches as they were trained on, and on the test data."""

    side: str
    epoch: int
    train: Scores
    test: Scores


OnEpoch = Callable[[int, list[EpochReport]], bool | None]
"""Takes an epoch's number and reports, and may end the training."""


def train(
    trainees: Sequence[Trainee],
    test: tuple[Images, Tensor],
    config: OptimizationConfig,
    flips: bool,
    first_epoch: int | range,
    on_epoch: OnEpoch,
    engine: str = "exact",
) -> str:
    """Train all networks from `first_epoch` to the last.

    Args:
        trainees: changed in place.
        test: images and labels.
        config: how to train.
        flips: whether images are flipped at random.
        first_epoch: counted from 1; or the epochs that are trained, where not all to the last are.
        on_epoch: called after each epoch with its number and one report a network; True ends the training.
        engine: `exact`, or `fast`, which sees the same draws and differs by rounding.

    Returns:
        The engine that trained them: `exact`, also where `fast` was asked for and cannot train such networks, or
        `fast`.

    Raises:
        FloatingPointError: a loss is not finite.
        ValueError: there is no such engine.
    """
    chosen = choose_engine(engine, trainees, config)
    with products(config.precision):  # captured steps keep the precision of their capture
        training = chosen.start(trainees, config, flips)
    _train_epochs(training, trainees, test, config, first_epoch, on_epoch)
    return "exact" if chosen.is_exact else "fast"


def train_on_devices(
    trainees: Sequence[Trainee],
    test: tuple[Images, Tensor],
    config: OptimizationConfig,
    flips: bool,
    first_epoch: int | range,
    on_epoch: OnEpoch,
    devices: Sequence[torch.device],
) -> str:
    """Train all networks as `train` does, on several devices that share every batch.

    Args:
        trainees: changed in place; on the first of the devices.
        test: images and labels; on the same device.
        config: how to train.
        flips: whether images are flipped at random.
        first_epoch: as in `train`.
        on_epoch: as in `train`.
        devices: as `why_not_data_parallel` allows them.

    Returns:
        `data_parallel`.

    Raises:
        FloatingPointError: a loss is not finite.
        ChildProcessError: the process of a device has ended.
    """
    with data_parallel(trainees, config, flips, devices) as training:
        _train_epochs(training, trainees, test, config, first_epoch, on_epoch)
    return "data_parallel"


def _train_epochs(
    training: Training,
    trainees: Sequence[Trainee],
    test: tuple[Images, Tensor],
    config: OptimizationConfig,
    first_epoch: int | range,
    on_epoch: OnEpoch,
) -> None:
    num_images = sum(len(t.labels) for t in trainees)
    epochs = range(first_epoch, config.epochs + 1) if isinstance(first_epoch, int) else first_epoch
    bar = tqdm(epochs, initial=epochs.start - 1, total=epochs.stop - 1, unit="epoch", disable=None)
    for epoch in bar:
        started = time.perf_counter()
        with products(config.precision):
            scores = training.train_epoch(epoch)
        _check_finite(trainees, scores, config, epoch)
        reports = [
            EpochReport(trainee.side, epoch, of_network, _test(trainee, test))
            for trainee, of_network in zip(trainees, scores, strict=True)
        ]
        if on_epoch(epoch, reports):
            break
        shown: dict[str, object] = {f"loss_{r.side}": f"{r.train.loss:.4f}" for r in reports}
        shown["images_per_s"] = round(num_images / (time.perf_counter() - started))
        bar.set_postfix(shown)


def _test(trainee: Trainee, test: tuple[Images, Tensor]) -> Scores:
    started = time.perf_counter()
    scores = evaluate(trainee.network, *test)
    trainee.test_seconds += time.perf_counter() - started
    return scores


def _check_finite(trainees: Sequence[Trainee], scores: list[Scores], config: OptimizationConfig, epoch: int) -> None:
    for trainee, of_network in zip(trainees, scores, strict=True):
        if not math.isfinite(of_network.loss):
            raise FloatingPointError(
                f"side {trainee.side}: the loss is {of_network.loss} in epoch {epoch}; lower lr={config.lr} or warm up"
            )
