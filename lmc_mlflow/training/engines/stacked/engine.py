"""Trains several MLPs at once: faster than one after the other, equal up to rounding."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Event

import torch
from torch import Tensor, nn

from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.config.choices import lookup
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.models.freezing import is_frozen
from lmc_mlflow.parallel import run_in_threads
from lmc_mlflow.predictions.scores import Scores
from lmc_mlflow.training.engines.graphs import take_turns
from lmc_mlflow.training.engines.stacked.draws import EpochPlan, plan_epoch
from lmc_mlflow.training.engines.stacked.norms import count_batches, norms_of, statistics_of
from lmc_mlflow.training.engines.stacked.replay import Replay
from lmc_mlflow.training.engines.stacked.step import (
    HEADS,
    StackedStep,
    layers_of,
    slope_of,
    why_no_mlp,
)
from lmc_mlflow.training.engines.stacked.weights import RULES, FlatWeights
from lmc_mlflow.training.optimizers import learning_rate
from lmc_mlflow.training.trainee import Trainee, ends_in_one_image, why_not_resident
from lmc_mlflow.weights import copy_all


def why_not_stacked(trainees: Sequence[Trainee], config: OptimizationConfig) -> str | None:
    """Return None if `StackedTraining` can train these networks, else the reason why it cannot."""
    for trainee in trainees:
        reason = why_no_mlp(trainee.network)
        if reason is None and is_frozen(trainee.network):
            reason = "some tensors are frozen, which the plain loop alone leaves as they are"
        if reason is None:
            reason = why_not_resident(trainee)
        if reason is None and norms_of(trainee.network) and ends_in_one_image(len(trainee.labels), config.batch_size):
            reason = "batch norm cannot take a last batch of one image; choose another batch_size"
        if reason is not None:
            return f"side {trainee.side}: {reason}"
    if config.precision == "bfloat16":
        return "precision=bfloat16 needs the plain loop"
    return None if config.optimizer in RULES else f"optimizer {config.optimizer} has no fused step"


class Stack:
    """MLPs of one shape, with the same number of training images, that take every step together."""

    def __init__(self, trainees: Sequence[Trainee], config: OptimizationConfig, flips: bool) -> None:
        self.trainees = trainees
        self._config = config
        self._weights = FlatWeights(trainees, lookup(RULES, config.optimizer, "optimizer"), config.clip_norm)
        self._lr = config.lr
        self._num_steps = 0
        self._num_samples, *image_shape = trainees[0].images.shape
        network = trainees[0].network
        assert isinstance(network, nn.Sequential)
        layers, head, slope = layers_of(network, self._weights), HEADS[type(network[-1])], slope_of(network)
        self._norms = [layer.norm for layer in layers if layer.norm is not None]
        self._num_classes = layers[-1].weight.shape[1]
        channels, height, width = image_shape
        self._steps = {
            size: StackedStep(layers, head, slope, (channels, height, width), size)
            for size in {min(config.batch_size, self._num_samples), self._num_samples % config.batch_size} - {0}
        }
        self._replay: Replay | None = None
        if trainees[0].labels.device.type == "cuda":
            self.use_replay(flips)

    @torch.no_grad()
    def use_replay(self, flips: bool) -> None:
        """Run every step from now on as one launch on the device (see `replay.py`)."""
        images = [trainee.images.tensor for trainee in self.trainees if isinstance(trainee.images, ResidentImages)]
        edges = [trainee.edge for trainee in self.trainees if trainee.edge is not None]
        self._replay = Replay(images, self._steps, self._weights, flips, self.trainees[0].noise.translate, edges)

    @torch.no_grad()
    def train(self, plans: Sequence[EpochPlan], epoch: int, stopped: Event) -> Tensor:
        """Train one epoch; returns the outputs (G, N, K) as they were trained on, incomplete once `stopped` is set.

        The trainees do not change before `store`. Nothing is read back from the device.
        """
        if self._replay is not None:
            for _ in self.replayed(self.start_replay(plans), epoch):
                if stopped.is_set():
                    break
            return self._replay.epoch.outputs[:, : len(plans[0].order)].clone()
        self._load()
        size = self._config.batch_size
        targets = torch.stack([plan.targets(self._num_classes) for plan in plans])
        outputs = torch.empty_like(targets)
        targets_of, outputs_of = torch.split(targets, size, dim=1), torch.split(outputs, size, dim=1)
        steps_per_epoch, self._num_steps = -(-self._num_samples // size), len(targets_of)
        for i in range(self._num_steps):
            if stopped.is_set():
                break
            step = self._steps[targets_of[i].shape[1]]
            for plan, images in zip(plans, step.images_of, strict=True):
                plan.gather(i, i * size, images)
            step.targets.copy_(targets_of[i])
            outputs_of[i].copy_(step.run())
            self._lr = learning_rate(self._config, (epoch - 1) * steps_per_epoch + i, steps_per_epoch)
            self._weights.step(self._lr)
        return outputs

    @torch.no_grad()
    def start_replay(self, plans: Sequence[EpochPlan]) -> Replay:
        """Copy trainees and draws to the device for an epoch of replayed steps, and return what replays them."""
        assert self._replay is not None
        self._load()
        self._replay.start(plans, self._config.batch_size)
        self._num_steps = -(-len(plans[0].order) // self._config.batch_size)
        return self._replay

    def replayed(self, replay: Replay, epoch: int) -> Iterator[None]:
        """Launch a step of an epoch that was started, whenever the next one is asked for."""
        size = self._config.batch_size
        starts = range(0, self._num_samples, size)
        for i, start in enumerate(starts[: self._num_steps]):
            self._lr = learning_rate(self._config, (epoch - 1) * len(starts) + i, len(starts))
            replay.epoch.set_lr(self._lr)
            replay.step(min(size, self._num_samples - start))
            yield

    @torch.no_grad()
    def store(self) -> None:
        """Copy weights, statistics and optimizer states after the last epoch to the trainees."""
        self._weights.store(self.trainees, self._lr, self._num_steps)
        ours, theirs = self._statistics()
        copy_all(theirs, ours)
        count_batches([norm for t in self.trainees for norm in norms_of(t.network)], self._num_steps)

    def _load(self) -> None:
        self._weights.load(self.trainees)
        copy_all(*self._statistics())

    def _statistics(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return the running statistics of all batch norms, those in the stack and those in the networks."""
        ours = [part for row in range(len(self.trainees)) for norm in self._norms for part in norm.statistics(row)]
        return ours, [part for t in self.trainees for norm in norms_of(t.network) for part in statistics_of(norm)]


class StackedTraining:
    """Trains MLPs epoch by epoch; `why_not_stacked` tells which ones it can train.

    On a GPU, where a step of an MLP is too small to fill the device, networks with the same number of images make
    one stack. On a CPU each network is a stack of its own in a thread of its own, which was measured to be faster
    than one stack on all cores: the cores do not wait for each other.

    Between epochs the whole state is in the trainees, so that it can be saved and restored as with the exact engine,
    and a restored training ends bit-equal to one never stopped.
    """

    def __init__(self, trainees: Sequence[Trainee], config: OptimizationConfig, flips: bool) -> None:
        reason = why_not_stacked(trainees, config)
        assert reason is None, reason
        self._trainees = trainees
        self._config = config
        self._flips = flips
        groups: dict[object, list[Trainee]] = {}
        for i, trainee in enumerate(trainees):
            own = i if trainee.labels.device.type == "cpu" else None
            shapes = tuple(p.shape for p in trainee.network.parameters())
            groups.setdefault((own, len(trainee.labels), shapes), []).append(trainee)
        self._stacks = [Stack(group, config, flips) for group in groups.values()]

    def train_epoch(self, epoch: int) -> list[Scores]:
        """Train each network by one pass (in place); returns means over the batches as they were trained on."""
        started = time.perf_counter()
        plans = {id(t): plan_epoch(t, self._config.batch_size, self._flips, epoch) for t in self._trainees}

        def task(stack: Stack) -> Callable[[Event], Tensor]:
            return lambda stopped: stack.train([plans[id(t)] for t in stack.trainees], epoch, stopped)

        if self._trainees[0].labels.device.type == "cpu":
            outputs = run_in_threads([task(stack) for stack in self._stacks], torch.get_num_threads())
        else:
            outputs = self._replay(plans, epoch)
        scores: dict[int, Scores] = {}
        for stack, of_stack in zip(self._stacks, outputs, strict=True):
            stack.store()
            for trainee, of_network in zip(stack.trainees, of_stack, strict=True):
                scores[id(trainee)] = plans[id(trainee)].scores(of_network)
        seconds = (time.perf_counter() - started) / len(self._trainees)
        for trainee in self._trainees:
            trainee.traces.append(plans[id(trainee)].trace)
            trainee.train_seconds += seconds
        return [scores[id(trainee)] for trainee in self._trainees]

    def _replay(self, plans: Mapping[int, EpochPlan], epoch: int) -> list[Tensor]:
        """Replay the epoch of all stacks side by side, and return their outputs."""
        replays = [stack.start_replay([plans[id(t)] for t in stack.trainees]) for stack in self._stacks]
        runs = [stack.replayed(replay, epoch) for stack, replay in zip(self._stacks, replays, strict=True)]
        take_turns(runs, [replay.stream for replay in replays if replay.stream is not None])
        return [
            replay.epoch.outputs[:, : len(plans[id(stack.trainees[0])].order)]
            for stack, replay in zip(self._stacks, replays, strict=True)
        ]
