"""Runs each training step of a stack as one CUDA graph, without copies to or from the host.

A step of an MLP is about thirty small kernels, and launching one takes about as long as running it. As a CUDA graph
they are launched together. The position in the epoch and the learning rate, which change from step to step, are kept
on the device, so that every step of one batch size is the same graph.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from lmc_mlflow.training.engines.graphs import capture_graphs, make_stream
from lmc_mlflow.training.engines.resident_epoch import ResidentEpoch
from lmc_mlflow.training.engines.stacked.draws import EpochPlan
from lmc_mlflow.training.engines.stacked.step import StackedStep
from lmc_mlflow.training.engines.stacked.weights import FlatWeights


class Replay:
    """Epochs of the networks of one stack, whose steps run on the device alone.

    Attributes:
        epoch: the draws and outputs of the epoch.
        stream: on which the steps run; None on a CPU.
    """

    def __init__(
        self,
        images: Sequence[Tensor],
        steps: Mapping[int, StackedStep],
        weights: FlatWeights,
        flips: bool,
        translate: int = 0,
        edges: Sequence[Tensor] = (),
    ) -> None:
        """Capture a graph for each batch size; the weights are undefined afterwards.

        Args:
            images: (N, C, H, W) for each network.
            steps: batch size -> buffers for its passes.
            weights: that a step changes.
            flips: whether images are flipped.
            translate: the largest random translation in pixels.
            edges: (C, 1, 1) for each network, what comes in where an image is moved; empty: 0.
        """
        num_classes = next(iter(steps.values())).targets.shape[-1]
        self.epoch = ResidentEpoch(images, num_classes, flips, translate, edges)
        self.stream = make_stream(weights.values.device)
        self._weights = weights
        self._targets = torch.zeros_like(self.epoch.outputs)
        self._classes = torch.arange(num_classes, device=self._targets.device)
        runs = {size: self._run_of(step) for size, step in steps.items()}
        self._runs = capture_graphs(runs, self.epoch.cursor, self.stream)

    def start(self, plans: Sequence[EpochPlan], batch_size: int) -> None:
        """Copy the draws of an epoch to the device and go to its first step."""
        self.epoch.start(plans, batch_size)
        labels = torch.stack([plan.labels for plan in plans])
        targets = self._targets[:, : labels.shape[1]]
        targets.copy_(labels if labels.ndim == targets.ndim else labels[:, :, None] == self._classes)

    def step(self, size: int) -> None:
        """Run the next step, with this batch size."""
        self._runs[size]()

    def _run_of(self, step: StackedStep) -> Callable[[], None]:
        def run() -> None:
            here = self.epoch.gather(step.images)
            torch.index_select(self._targets, 1, here, out=step.targets)
            outputs = step.run()
            self._weights.step(self.epoch.lr)
            self.epoch.advance(here, outputs)

        return run
