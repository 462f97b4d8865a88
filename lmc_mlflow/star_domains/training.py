"""Trains a star, epoch by epoch."""

import math
import time
from collections.abc import Callable

from tqdm import tqdm

from lmc_mlflow.config.star import SegmentsConfig
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.precision import products
from lmc_mlflow.predictions.scores import Scores
from lmc_mlflow.star_domains.alignment import Sources
from lmc_mlflow.star_domains.segments import SegmentNetwork, draw_points
from lmc_mlflow.training.engines.exact import train_epoch
from lmc_mlflow.training.trainee import Trainee


def train_star(
    trainee: Trainee,
    sources: Sources,
    segments: SegmentsConfig,
    optimization: OptimizationConfig,
    flips: bool,
    first_epoch: int,
    on_epoch: Callable[[int, Scores], None],
) -> None:
    """Train from `first_epoch` to the last; each step sees one point of one segment (Sonthalia et al., equation 8).

    Every `match_every` epochs, the first included, all sources are aligned to the star as it is then. The result of
    an epoch depends on the star, the optimizer, the alignment before and the epoch's number alone.

    Args:
        trainee: its network is a `SegmentNetwork`; changed in place.
        sources: aligned anew, in place.
        segments: the points of the segments to train at.
        optimization: optimizer, schedule, epochs.
        flips: whether images are flipped at random.
        first_epoch: counted from 1.
        on_epoch: called after each epoch with its number and the means over the points it was trained at.

    Raises:
        FloatingPointError: the loss is not a finite number any more.
    """
    network = trainee.network
    assert isinstance(network, SegmentNetwork)
    num_steps = math.ceil(len(trainee.labels) / optimization.batch_size)
    epochs = range(first_epoch, optimization.epochs + 1)
    bar = tqdm(epochs, initial=first_epoch - 1, total=optimization.epochs, desc="star", unit="epoch", disable=None)
    for epoch in bar:
        started = time.perf_counter()
        if segments.match_every and (epoch - 1) % segments.match_every == 0:
            sources.match(network.star.state_dict(), epoch)
        points = draw_points(segments, len(sources.states), num_steps, segments.star_seed, "step", epoch)
        network.set_points((sources.states[i], t) for i, t in points)
        with products(optimization.precision):
            scores = train_epoch(trainee, optimization, flips, epoch)
        trainee.train_seconds += time.perf_counter() - started
        if not math.isfinite(scores.loss):
            raise FloatingPointError(
                f"star: the loss is {scores.loss} in epoch {epoch}; lower lr={optimization.lr} or warm up"
            )
        on_epoch(epoch, scores)
        bar.set_postfix(loss=f"{scores.loss:.4f}")
