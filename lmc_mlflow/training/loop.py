"""How do the networks of a pair train together, epoch by epoch?"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from lmc_mlflow.config.sections import OptimizationConfig
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.images import Images
from lmc_mlflow.predictions.scores import Scores, make_tally, mean_loss
from lmc_mlflow.training.noise import NoiseStream
from lmc_mlflow.training.optimizers import learning_rate
from lmc_mlflow.training.trace import EpochTrace, trace_epoch


@dataclass
class Trainee:
    """One network in training, with all that its next step depends on.

    Attributes:
        side: `A` or `B`.
        images: N scaled images, handed out on the training device.
        labels: (N,) class indices or (N, K) zeros and ones, on the same device.
        traces: what was drawn in each epoch so far.
        train_seconds: spent in training this network so far, tests left out.
    """

    side: str
    network: nn.Module
    optimizer: Optimizer
    noise: NoiseStream
    images: Images
    labels: Tensor
    traces: list[EpochTrace] = field(default_factory=list)
    train_seconds: float = 0.0


@dataclass(frozen=True)
class EpochReport:
    """One network after one epoch: means over the epoch's batches as they were trained on, and the test."""

    side: str
    epoch: int
    train: Scores
    test: Scores


def train(
    trainees: Sequence[Trainee],
    test: tuple[Images, Tensor],
    config: OptimizationConfig,
    flips: bool,
    first_epoch: int,
    on_epoch: Callable[[int, list[EpochReport]], None],
) -> None:
    """Train all networks from `first_epoch` to the last, one epoch of each in turn.

    Args:
        trainees: changed in place.
        test: images and labels.
        config: how to train.
        flips: whether images are flipped at random.
        first_epoch: counted from 1.
        on_epoch: called after each epoch with its number and one report a network.

    Raises:
        FloatingPointError: a loss is no number any more.
    """
    num_images = sum(len(t.labels) for t in trainees)
    bar = tqdm(
        range(first_epoch, config.epochs + 1), initial=first_epoch - 1, total=config.epochs, unit="epoch", disable=None
    )
    for epoch in bar:
        started = time.perf_counter()
        reports = [_one_epoch(trainee, test, config, flips, epoch) for trainee in trainees]
        on_epoch(epoch, reports)
        shown: dict[str, object] = {f"loss_{r.side}": f"{r.train.loss:.4f}" for r in reports}
        shown["images_per_s"] = round(num_images / (time.perf_counter() - started))
        bar.set_postfix(shown)


def _one_epoch(
    trainee: Trainee, test: tuple[Images, Tensor], config: OptimizationConfig, flips: bool, epoch: int
) -> EpochReport:
    started = time.perf_counter()
    scores = train_epoch(trainee, config, flips, epoch)
    trainee.train_seconds += time.perf_counter() - started
    if not math.isfinite(scores.loss):
        raise FloatingPointError(
            f"side {trainee.side}: the loss is {scores.loss} in epoch {epoch}; lower lr={config.lr} or warm up"
        )
    return EpochReport(trainee.side, epoch, scores, evaluate(trainee.network, *test))


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
        for i, ((positions, flipped), images) in enumerate(zip(draws.batches(), batches, strict=True)):
            labels = trainee.labels[positions]
            if flipped is not None:
                images = torch.where(flipped[:, None, None, None], images.flip(-1), images)
            for group in trainee.optimizer.param_groups:
                group["lr"] = learning_rate(config, (epoch - 1) * steps_per_epoch + i, steps_per_epoch)
            trainee.optimizer.zero_grad()
            outputs = trainee.network(images)
            loss = mean_loss(outputs, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            trainee.optimizer.step()
            tally.add(loss.detach().double() * len(labels), outputs.detach(), labels)
    trainee.traces.append(trace_epoch(epoch, draws, trainee.labels.cpu()))
    return tally.scores()
