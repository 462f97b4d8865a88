"""Trains convolutional networks on a GPU, each with its whole step as one CUDA graph on a stream of its own.

A step is about a hundred kernels, and at small batches launching them one by one takes longer than running them.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lmc_mlflow.batches import ResidentImages, channels_last
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.predictions.scores import Scores, mean_loss
from lmc_mlflow.training.engines.graphs import capture_graphs, make_stream, take_turns
from lmc_mlflow.training.engines.resident_epoch import ResidentEpoch
from lmc_mlflow.training.engines.stacked.draws import EpochPlan, plan_epoch
from lmc_mlflow.training.optimizers import clip, count_steps, learning_rate, make_optimizer, num_steps
from lmc_mlflow.training.precision import forward
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.weights import copy_all

TENSOR_CORES = ("tf32", "bfloat16")
"""Precisions whose convolutions are faster with channels last; those of float32 are slower."""


class CapturedTraining:
    """Trains networks epoch by epoch; `why_not_channels_last` tells which ones it can train."""

    def __init__(self, trainees: Sequence[Trainee], config: OptimizationConfig, flips: bool) -> None:
        self._trainees = trainees
        self._config = config
        self._flips = flips
        with _fastest_convolutions():
            self._doubles = [_Double(trainee, config, flips) for trainee in trainees]

    def train_epoch(self, epoch: int) -> list[Scores]:
        """Train each network by one pass (in place); returns means over the batches as they were trained on."""
        started = time.perf_counter()
        plans = [plan_epoch(trainee, self._config.batch_size, self._flips, epoch) for trainee in self._trainees]
        for double, plan in zip(self._doubles, plans, strict=True):
            double.start(plan)
        take_turns([double.steps(epoch) for double in self._doubles], [double.stream for double in self._doubles])
        for double in self._doubles:
            double.store()
        scores = [
            plan.scores(double.outputs[: len(plan.order)]) for double, plan in zip(self._doubles, plans, strict=True)
        ]
        seconds = (time.perf_counter() - started) / len(self._trainees)
        for trainee, plan in zip(self._trainees, plans, strict=True):
            trainee.traces.append(plan.trace)
            trainee.train_seconds += seconds
        return scores


class _Double:
    """A copy of a network and its optimizer, on whose memory the graphs work; between epochs the trainee has the state.

    Attributes:
        stream: on which the steps run.
    """

    def __init__(self, trainee: Trainee, config: OptimizationConfig, flips: bool) -> None:
        assert isinstance(trainee.images, ResidentImages)
        images, stream = trainee.images.tensor, make_stream(trainee.labels.device)
        assert stream is not None, "there are no graphs on a CPU"
        self.stream = stream
        self._trainee = trainee
        self._config = config
        self._network = copy.deepcopy(trainee.network)
        with torch.no_grad():
            num_outputs = self._network.eval()(images[:1]).shape[1]
        self._network.train()
        if config.precision in TENSOR_CORES:
            self._network.to(memory_format=torch.channels_last)
        self._labels = torch.zeros_like(trainee.labels)
        edges = [] if trainee.edge is None else [trainee.edge]
        self._epoch = ResidentEpoch([images], num_outputs, flips, trainee.noise.translate, edges)
        self._optimizer = _capturable(make_optimizer(self._network.parameters(), config), self._epoch.lr)
        self._lr = config.lr
        self._num_steps = 0
        self._sizes = [len(part) for part in torch.split(self._labels, config.batch_size)]
        self._batches = {size: images.new_empty(1, size, *images.shape[1:]) for size in set(self._sizes)}
        steps = {size: self._step_on(batch) for size, batch in self._batches.items()}
        self._runs = capture_graphs(steps, self._epoch.cursor, stream)

    @property
    def outputs(self) -> Tensor:
        """The outputs (N, K) as they were trained on; overwritten in the next epoch."""
        return self._epoch.outputs[0]

    def _step_on(self, images: Tensor) -> Callable[[], None]:
        def step() -> None:
            here = self._epoch.gather(images)
            batch = channels_last(images[0]) if self._config.precision in TENSOR_CORES else images[0]
            self._optimizer.zero_grad()
            with forward(self._config.precision, batch.device):
                outputs = self._network(batch)
                loss = mean_loss(outputs, self._labels.index_select(0, here))
            loss.backward()  # type: ignore[no-untyped-call]
            clip(self._network.parameters(), self._config)
            self._optimizer.step()
            self._epoch.advance(here, outputs.detach().float()[None])

        return step

    @torch.no_grad()
    def start(self, plan: EpochPlan) -> None:
        """Copy the trainee and the draws of an epoch to where the graphs read them; nobody waits."""
        ours, theirs = self._tensors()
        copy_all([*ours, self._labels[: len(plan.labels)]], [*theirs, plan.labels])
        self._num_steps = -(-len(plan.order) // self._config.batch_size)
        counts = [kept["step"] for kept in self._optimizer.state.values() if "step" in kept]
        if counts:
            torch._foreach_zero_(counts)
            torch._foreach_add_(counts, num_steps(self._trainee.optimizer, next(self._trainee.network.parameters())))
        self._epoch.start([plan], self._config.batch_size)

    def steps(self, epoch: int) -> Iterator[None]:
        """Launch a step of an epoch that was started, whenever the next one is asked for."""
        for i, size in enumerate(self._sizes[: self._num_steps]):
            self._lr = learning_rate(self._config, (epoch - 1) * len(self._sizes) + i, len(self._sizes))
            self._epoch.set_lr(self._lr)
            self._runs[size]()
            yield

    @torch.no_grad()
    def store(self) -> None:
        """Copy weights, statistics and optimizer state back, as if the trainee's optimizer had made the steps."""
        optimizer = self._trainee.optimizer
        for group in optimizer.param_groups:
            group["lr"] = self._lr
        for parameter, slots in self._slots():
            for name in slots:
                if optimizer.state[parameter].get(name) is None:
                    optimizer.state[parameter][name] = torch.empty_like(parameter)
        if any("step" in kept for kept in self._optimizer.state.values()):
            count_steps(optimizer, self._trainee.network.parameters(), self._num_steps)
        ours, theirs = self._tensors()
        copy_all([other for other in theirs if other is not None], ours)

    def _slots(self) -> Iterator[tuple[nn.Parameter, dict[str, Tensor]]]:
        """Yield each parameter of the trainee, and what the double's optimizer keeps in its shape."""
        for parameter, double in zip(self._trainee.network.parameters(), self._network.parameters(), strict=True):
            kept = self._optimizer.state[double]
            yield parameter, {n: value for n, value in kept.items() if n != "step" and isinstance(value, Tensor)}

    def _tensors(self) -> tuple[list[Tensor], list[Tensor | None]]:
        """Return the tensors of the double, and what the trainee has for each; None: nothing yet."""
        ours: list[Tensor] = [*self._network.parameters(), *self._network.buffers()]
        theirs: list[Tensor | None] = [*self._trainee.network.parameters(), *self._trainee.network.buffers()]
        for parameter, slots in self._slots():
            ours += slots.values()
            theirs += [self._trainee.optimizer.state.get(parameter, {}).get(name) for name in slots]
        return ours, theirs


def _capturable(optimizer: Optimizer, lr: Tensor) -> Optimizer:
    """Let an optimizer (in place) take its learning rate and count its steps on the device."""
    for group in optimizer.param_groups:
        fused = "fused" in group  # RMSprop has no fused call
        group |= {"lr": lr, "capturable": True, "foreach": not fused} | ({"fused": True} if fused else {})
    return optimizer


@contextmanager
def _fastest_convolutions() -> Iterator[None]:
    """Let cuDNN time its algorithms within the block and take the fastest, where results need not repeat."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
