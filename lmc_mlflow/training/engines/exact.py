"""Trains one network after the other in a plain loop, bit-equal to Algorithm 1 of Hepburn et al. with its loader."""

import math
import time
from collections.abc import Sequence

from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.models.freezing import set_training
from lmc_mlflow.predictions.scores import Scores, make_tally, mean_loss
from lmc_mlflow.training.drawn_batches import drawn_batches
from lmc_mlflow.training.noise_trace import trace_epoch
from lmc_mlflow.training.optimizers import clip, learning_rate
from lmc_mlflow.training.precision import forward
from lmc_mlflow.training.trainee import Trainee


def train_epoch(trainee: Trainee, config: OptimizationConfig, flips: bool, epoch: int) -> Scores:
    """Train one network (in place) by one pass over its side's training subset.

    Nothing is read back from the device before the epoch ends.

    Args:
        trainee: changed in place.
        config: how to train.
        flips: whether images are flipped at random.
        epoch: counted from 1.

    Returns:
        Means over the batches as they were trained on.
    """
    num_samples = len(trainee.labels)
    steps_per_epoch = math.ceil(num_samples / config.batch_size)
    tally = make_tally(trainee.labels)
    set_training(trainee.network)
    with trainee.noise.epoch(epoch, num_samples, config.batch_size, flips) as draws:
        for i, (images, labels) in enumerate(drawn_batches(trainee, draws)):
            for group in trainee.optimizer.param_groups:
                group["lr"] = learning_rate(config, (epoch - 1) * steps_per_epoch + i, steps_per_epoch)
            trainee.optimizer.zero_grad()
            with forward(config.precision, labels.device):
                outputs = trainee.network(images)
                loss = mean_loss(outputs, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            clip(trainee.network.parameters(), config)
            trainee.optimizer.step()
            tally.add(loss.detach(), outputs.detach().float(), labels, len(labels))
    trainee.traces.append(trace_epoch(epoch, draws, trainee.host_labels))
    return tally.scores()


class ExactTraining:
    """Trains any networks, one after the other."""

    def __init__(self, trainees: Sequence[Trainee], config: OptimizationConfig, flips: bool) -> None:
        self._trainees = trainees
        self._config = config
        self._flips = flips

    def train_epoch(self, epoch: int) -> list[Scores]:
        """Train each network by one pass (in place); returns means over the batches as they were trained on."""
        return [self._train_timed(trainee, epoch) for trainee in self._trainees]

    def _train_timed(self, trainee: Trainee, epoch: int) -> Scores:
        started = time.perf_counter()
        scores = train_epoch(trainee, self._config, self._flips, epoch)
        trainee.train_seconds += time.perf_counter() - started
        return scores
