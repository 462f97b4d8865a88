"""Trains a star, epoch by epoch."""

from collections.abc import Callable, Iterator

from lmc_mlflow.config.star import SegmentsConfig
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.predictions.scores import Scores
from lmc_mlflow.star_domains.alignment import Sources
from lmc_mlflow.star_domains.segments import SegmentNetwork, draw_points
from lmc_mlflow.training.at_points import train_at_points
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.weights import State


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

    def points(epoch: int, num_steps: int) -> Iterator[tuple[State, float]]:
        if segments.match_every and (epoch - 1) % segments.match_every == 0:
            sources.match(network.star.state_dict(), epoch)
        drawn = draw_points(segments, len(sources.states), num_steps, segments.star_seed, "step", epoch)
        return ((sources.states[i], t) for i, t in drawn)

    for epoch, scores in train_at_points(trainee, optimization, flips, first_epoch, points):
        on_epoch(epoch, scores)
