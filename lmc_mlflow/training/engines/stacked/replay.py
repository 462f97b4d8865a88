"""Runs each training step of a stack as one CUDA graph, without copies to or from the host.

A step of an MLP is about thirty small kernels, and launching one takes about as long as running it. As a CUDA graph
they are launched together. The position in the epoch and the learning rate, which change from step to step, are kept
on the device, so that every step of one batch size is the same graph.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lmc_mlflow.training.augmentation import translate_images
from lmc_mlflow.training.engines.stacked.draws import EpochPlan
from lmc_mlflow.training.engines.stacked.step import StackedStep
from lmc_mlflow.training.engines.stacked.weights import FlatWeights

NUM_WARM_UPS = 3
"""Steps before a capture, in which libraries allocate their memory."""


class Replay:
    """One epoch of G networks with N images each, whose steps run on the device alone.

    Attributes:
        outputs: (G, N, K) as they were trained on, in the order of the epoch.
    """

    def __init__(
        self,
        images: Sequence[Tensor],
        steps: dict[int, StackedStep],
        weights: FlatWeights,
        flips: bool,
        translate: int = 0,
    ) -> None:
        """Capture a graph for each batch size; the weights are undefined afterwards.

        Args:
            images: (N, C, H, W) for each network.
            steps: batch size -> buffers for its passes.
            weights: that a step changes.
            flips: whether images are flipped.
            translate: the largest random translation in pixels.
        """
        num_networks, num_samples = len(images), len(images[0])
        new = weights.values.new_zeros
        num_classes = next(iter(steps.values())).targets.shape[-1]
        self._images, self._weights = images, weights
        self._orders = new(num_networks, num_samples, dtype=torch.int64)
        self._flipped = new(num_networks, num_samples, dtype=torch.bool) if flips else None
        self._moves = new(num_networks, num_samples, 2, dtype=torch.int64) if translate else None
        self._translate = translate
        self._targets = new(num_networks, num_samples, num_classes)
        self.outputs = new(num_networks, num_samples, num_classes)
        self._cursor, self._lr = new((), dtype=torch.int64), new(())
        self._in_batch = {size: torch.arange(size, device=self._cursor.device) for size in steps}  # graphs read them
        self._runs = {size: self._prepare(size, step) for size, step in steps.items()}

    def start(self, plans: Sequence[EpochPlan], batch_size: int) -> None:
        """Copy the draws of an epoch to the device and go to its first step."""
        for row, plan in enumerate(plans):
            self._orders[row].copy_(plan.order)
            self._targets[row].copy_(plan.targets(self._targets.shape[-1]))
            if self._flipped is not None:
                self._flipped[row].copy_(plan.flipped(batch_size))
            if self._moves is not None:
                assert plan.moves is not None
                self._moves[row].copy_(plan.moves)
        self._cursor.zero_()

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the following steps."""
        self._lr.fill_(lr)

    def step(self, size: int) -> None:
        """Run the next step, with this batch size."""
        self._runs[size]()

    def _prepare(self, size: int, step: StackedStep) -> Callable[[], None]:
        def run() -> None:
            here = self._in_batch[size] + self._cursor
            for row, batch in enumerate(step.images):
                positions = self._orders[row].index_select(0, here)
                torch.index_select(self._images[row], 0, positions, out=batch)
                if self._flipped is not None:
                    flipped = self._flipped[row].index_select(0, here)[:, None, None, None]
                    batch.copy_(torch.where(flipped, batch.flip(-1), batch))
                if self._moves is not None:
                    batch.copy_(translate_images(batch, self._moves[row].index_select(0, here), self._translate))
            step.targets.copy_(self._targets.index_select(1, here))
            self.outputs.index_copy_(1, here, step.run())
            self._weights.step(self._lr)
            self._cursor.add_(size)

        return capture_graph(run, self._cursor)


def capture_graph(step: Callable[[], None], cursor: Tensor) -> Callable[[], None]:
    """Capture a step as a CUDA graph; on a CPU return the step itself.

    Args:
        step: does the same work at every call, on tensors that keep their memory.
        cursor: the position in the epoch, on the device of these tensors; set to 0 before every warm-up run.
    """
    if cursor.device.type != "cuda":
        return step
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(NUM_WARM_UPS):
            cursor.zero_()
            step()
        cursor.zero_()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay
