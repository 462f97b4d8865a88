"""How do the networks of a pair train together, epoch by epoch?"""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lmc_mlflow.batches import Images
from lmc_mlflow.config.choices import lookup
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.predictions.scores import Scores, make_tally, mean_loss
from lmc_mlflow.training.augmentation import flip_in_place, translated
from lmc_mlflow.training.engines.channels_last import ChannelsLastTraining, why_not_channels_last
from lmc_mlflow.training.engines.stacked.engine import StackedTraining, stackable
from lmc_mlflow.training.noise_trace import trace_epoch
from lmc_mlflow.training.optimizers import clip, learning_rate
from lmc_mlflow.training.precision import forward, products
from lmc_mlflow.training.trainee import Trainee as Trainee

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EpochReport:
    """One network after one epoch: means over the epoch's batches as they were trained on, and the test."""

    side: str
    epoch: int
    train: Scores
    test: Scores


class Engine(Protocol):
    """Trains networks by one epoch at a time."""

    def train_epoch(self, epoch: int) -> list[Scores]:
        """One pass of each trainee, in place; returns means over the batches as they were trained on."""


class ExactTraining:
    """One network after the other in a plain loop: bit-equal to Algorithm 1 of Hepburn et al. with its loader."""

    def __init__(self, trainees: Sequence[Trainee], config: OptimizationConfig, flips: bool) -> None:
        self._trainees = trainees
        self._config = config
        self._flips = flips

    def train_epoch(self, epoch: int) -> list[Scores]:
        """See `Engine`."""
        return [self._timed(trainee, epoch) for trainee in self._trainees]

    def _timed(self, trainee: Trainee, epoch: int) -> Scores:
        started = time.perf_counter()
        scores = train_epoch(trainee, self._config, self._flips, epoch)
        trainee.train_seconds += time.perf_counter() - started
        return scores


def make_exact(trainees: Sequence[Trainee], config: OptimizationConfig, flips: bool) -> Engine:
    """The plain loop, for any network."""
    return ExactTraining(trainees, config, flips)


def make_fast(trainees: Sequence[Trainee], config: OptimizationConfig, flips: bool) -> Engine:
    """The fastest there is for these networks; the plain loop, with a warning that says why, where there is none."""
    if any(isinstance(module, nn.Conv2d) for module in trainees[0].network.modules()):
        reason = why_not_channels_last(trainees)
        if reason is None:
            return ChannelsLastTraining(trainees, config, flips)
    else:
        reason = stackable(trainees, config)
        if reason is None:
            return StackedTraining(trainees, config, flips)
    logger.warning("engine=fast cannot train these networks (%s); engine=exact does", reason)
    return ExactTraining(trainees, config, flips)


ENGINES: Mapping[str, Callable[[Sequence[Trainee], OptimizationConfig, bool], Engine]] = {
    "exact": make_exact,
    "fast": make_fast,
}


def train(
    trainees: Sequence[Trainee],
    test: tuple[Images, Tensor],
    config: OptimizationConfig,
    flips: bool,
    first_epoch: int,
    on_epoch: Callable[[int, list[EpochReport]], None],
    engine: str = "exact",
) -> str:
    """Train all networks from `first_epoch` to the last; returns the engine that did: `exact`, or `fast` if it could.

    Args:
        trainees: changed in place.
        test: images and labels.
        config: how to train.
        flips: whether images are flipped at random.
        first_epoch: counted from 1.
        on_epoch: called after each epoch with its number and one report a network.
        engine: `exact`, or `fast`, which sees the same draws and differs by rounding.

    Raises:
        FloatingPointError: a loss is no number any more.
        ValueError: there is no such engine.
    """
    training = lookup(ENGINES, engine, "engine")(trainees, config, flips)
    num_images = sum(len(t.labels) for t in trainees)
    bar = tqdm(
        range(first_epoch, config.epochs + 1), initial=first_epoch - 1, total=config.epochs, unit="epoch", disable=None
    )
    for epoch in bar:
        started = time.perf_counter()
        with products(config.precision):
            scores = training.train_epoch(epoch)
        _check_finite(trainees, scores, config, epoch)
        reports = [
            EpochReport(trainee.side, epoch, of_network, _tested(trainee, test))
            for trainee, of_network in zip(trainees, scores, strict=True)
        ]
        on_epoch(epoch, reports)
        shown: dict[str, object] = {f"loss_{r.side}": f"{r.train.loss:.4f}" for r in reports}
        shown["images_per_s"] = round(num_images / (time.perf_counter() - started))
        bar.set_postfix(shown)
    return "exact" if isinstance(training, ExactTraining) else "fast"


def _tested(trainee: Trainee, test: tuple[Images, Tensor]) -> Scores:
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


def train_epoch(trainee: Trainee, config: OptimizationConfig, flips: bool, epoch: int) -> Scores:
    """One pass over a side's training subset; returns the means over the batches as they were trained on.

    Nothing is read back from the device before the epoch ends.
    """
    num_samples = len(trainee.labels)
    steps_per_epoch = math.ceil(num_samples / config.batch_size)
    tally = make_tally(trainee.labels)
    trainee.network.train()
    with trainee.noise.epoch(epoch, num_samples, config.batch_size, flips) as draws:
        batches = trainee.images.batches(draws.order, config.batch_size)
        moves = None if draws.moves is None else torch.split(draws.moves.to(trainee.labels.device), config.batch_size)
        for i, ((positions, flipped), images) in enumerate(zip(draws.batches(), batches, strict=True)):
            labels = trainee.labels[positions]
            if flipped is not None:
                flip_in_place(images, draws.flipped[i])
            if moves is not None:
                images = translated(images, moves[i], trainee.noise.translate)
            for group in trainee.optimizer.param_groups:
                group["lr"] = learning_rate(config, (epoch - 1) * steps_per_epoch + i, steps_per_epoch)
            trainee.optimizer.zero_grad()
            with forward(config.precision, labels.device):
                outputs = trainee.network(images)
                loss = mean_loss(outputs, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            clip(trainee.network.parameters(), config)
            trainee.optimizer.step()
            tally.add(loss.detach().double() * len(labels), outputs.detach().float(), labels)
    trainee.traces.append(trace_epoch(epoch, draws, trainee.labels.cpu()))
    return tally.scores()
