"""Trains convolutional networks with channels last in memory: faster than the exact engine, equal up to rounding.

Convolutions run faster on this memory format; the optimizer step is one fused call; on a CPU with small batches, whose
feature maps stay in the cache, each network runs on a core of its own.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event

import torch
from torch import Tensor, nn

from lmc_mlflow.batches import channels_last
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.models.freezing import is_frozen
from lmc_mlflow.parallel import run_in_threads
from lmc_mlflow.predictions.scores import Scores, mean_loss
from lmc_mlflow.training.engines.stacked.draws import EpochPlan, plan_epoch
from lmc_mlflow.training.optimizers import clip, learning_rate
from lmc_mlflow.training.precision import forward
from lmc_mlflow.training.trainee import Trainee, why_not_resident

SMALL_BATCH = 128
"""Images. Larger batches were measured to be faster one network after the other, each on all cores."""


def why_not_channels_last(trainees: Sequence[Trainee]) -> str | None:
    """Return None if `ChannelsLastTraining` can train these networks, else the reason why it cannot."""
    for trainee in trainees:
        modules = list(trainee.network.modules())
        if is_frozen(trainee.network):
            return f"side {trainee.side}: some tensors are frozen, which the plain loop alone leaves as they are"
        if (reason := why_not_resident(trainee)) is not None:
            return f"side {trainee.side}: {reason}"
        if not any(isinstance(module, nn.Conv2d) for module in modules):
            return f"side {trainee.side}: the network has no convolutions"
        dropping = [type(module).__name__ for module in modules if "Drop" in type(module).__name__]
        if dropping:
            return f"side {trainee.side}: {dropping[0]} draws while others train"
    return None


class ChannelsLastTraining:
    """Trains convolutional networks epoch by epoch; between epochs their memory format is that of the exact engine."""

    def __init__(self, trainees: Sequence[Trainee], config: OptimizationConfig, flips: bool) -> None:
        reason = why_not_channels_last(trainees)
        assert reason is None, reason
        self._trainees = trainees
        self._config = config
        self._flips = flips

    def train_epoch(self, epoch: int) -> list[Scores]:
        """Train each network by one pass (in place); returns means over the batches as they were trained on."""
        started = time.perf_counter()
        plans = [plan_epoch(trainee, self._config.batch_size, self._flips, epoch) for trainee in self._trainees]

        def task(trainee: Trainee, plan: EpochPlan) -> Callable[[Event], Tensor]:
            return lambda stopped: self._train(trainee, plan, epoch, stopped)

        on_cpu = self._trainees[0].labels.device.type == "cpu"
        num_threads = torch.get_num_threads() if on_cpu and self._config.batch_size <= SMALL_BATCH else 1
        tasks = [task(trainee, plan) for trainee, plan in zip(self._trainees, plans, strict=True)]
        outputs = run_in_threads(tasks, num_threads)
        seconds = (time.perf_counter() - started) / len(self._trainees)
        for trainee, plan in zip(self._trainees, plans, strict=True):
            trainee.traces.append(plan.trace)
            trainee.train_seconds += seconds
        return [plan.scores(of_network) for plan, of_network in zip(plans, outputs, strict=True)]

    def _train(self, trainee: Trainee, plan: EpochPlan, epoch: int, stopped: Event) -> Tensor:
        """Return the outputs (N, K) as they were trained on; they are incomplete once `stopped` is set."""
        size, device = self._config.batch_size, trainee.labels.device
        steps_per_epoch = -(-len(trainee.labels) // size)  # the last epoch may end early
        outputs = []
        with _channels_last_format(trainee):
            trainee.network.train()
            for i, labels in enumerate(torch.split(plan.labels, size)):
                if stopped.is_set():
                    break
                images = plan.images.new_empty(len(labels), *plan.images.shape[1:])
                plan.gather(i, i * size, images)
                for group in trainee.optimizer.param_groups:
                    group["lr"] = learning_rate(self._config, (epoch - 1) * steps_per_epoch + i, steps_per_epoch)
                trainee.optimizer.zero_grad()
                with forward(self._config.precision, device):
                    of_batch = trainee.network(channels_last(images))
                    loss = mean_loss(of_batch, labels)
                loss.backward()  # type: ignore[no-untyped-call]
                clip(trainee.network.parameters(), self._config)
                trainee.optimizer.step()
                outputs.append(of_batch.detach().float())
        return torch.cat(outputs)


@contextmanager
def _channels_last_format(trainee: Trainee) -> Iterator[None]:
    """Use channels last for the weights and the fused optimizer step within the block; restore both after it."""
    groups = [group for group in trainee.optimizer.param_groups if "fused" in group]  # RMSprop has no fused call
    before = [group["fused"] for group in groups]
    trainee.network.to(memory_format=torch.channels_last)
    # a fused call goes through memory, whatever the strides say
    for parameter, kept in trainee.optimizer.state.items():
        kept |= {name: _in_format_of(parameter, value) for name, value in kept.items() if isinstance(value, Tensor)}
    _move_steps(trainee, trainee.labels.device if groups else torch.device("cpu"))
    for group in groups:
        group["fused"] = True
    try:
        yield
    finally:
        trainee.network.to(memory_format=torch.contiguous_format)
        for group, fused in zip(groups, before, strict=True):
            group["fused"] = fused
        _move_steps(trainee, torch.device("cpu"))
        for kept in trainee.optimizer.state.values():
            kept |= {name: value.contiguous() for name, value in kept.items() if isinstance(value, Tensor)}


def _in_format_of(parameter: Tensor, value: Tensor) -> Tensor:
    """Return the value in the memory format of the parameter if it has its shape, else as it is."""
    return value if value.shape != parameter.shape else torch.empty_like(parameter).copy_(value)


def _move_steps(trainee: Trainee, device: torch.device) -> None:
    """Move the step counts: a fused optimizer keeps them on the device, another one on the CPU."""
    for kept in trainee.optimizer.state.values():
        if "step" in kept:
            kept["step"] = kept["step"].to(device)
