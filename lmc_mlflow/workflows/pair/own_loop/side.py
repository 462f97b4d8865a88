"""One side of a pair as a training loop of a user's own sees it: images, network, and the batches of the noise."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.training.drawn_batches import drawn_batches
from lmc_mlflow.training.noise_trace import trace_epoch
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.pair.own_loop.moved import MovedNetwork

MEASURED = ("test/", "train/")
"""Beginnings of the names of scores that are measured on the logged networks."""


@dataclass
class Side:
    """One side of a pair: what a training loop needs.

    Attributes:
        name: `A` or `B`.
        device: where images and networks are.
        batch_size: that was given for the pair.
        epochs: that were given for the pair.
        trainee: network, images and noise; a loop reads them by `network`, `images`, `labels` and `loader`.
        flips: whether the loader flips images at random.
        run: of the endpoint.
        moved: how far the network has moved.
    """

    name: str
    device: torch.device
    batch_size: int
    epochs: int
    trainee: Trainee = field(repr=False)
    flips: bool = field(repr=False)
    run: TrackedRun = field(repr=False)
    _drawn: int = field(default=0, repr=False)
    moved: MovedNetwork = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.moved = MovedNetwork(self.trainee.network)

    @property
    def run_id(self) -> str:
        """Run id of the side's endpoint."""
        return self.run.run_id

    @property
    def images(self) -> Tensor:
        """Training images (N, C, H, W) as the networks get them.

        Raises:
            ValueError: they are read batch by batch.
        """
        if not isinstance(self.trainee.images, ResidentImages):
            raise ValueError("the images do not fit memory_gb; use side.loader(), or give a higher memory_gb")
        return self.trainee.images.tensor

    @property
    def labels(self) -> Tensor:
        """Classes (N,), or zeros and ones (N, K)."""
        return self.trainee.labels

    def network(self) -> nn.Module:
        """Return the initialized network, on the device and in training mode; it gives log-probabilities or logits."""
        return self.trainee.network

    def loader(self, batch_size: int | None = None) -> "Loader":
        """Return batches of images and labels; each time that it is gone through is the next epoch.

        Order, flips and translations are those of the pair's noise: with `noise=same` both sides see the same draws,
        and so do draws of your loop from PyTorch's generator between two batches, such as those of dropout.

        Args:
            batch_size: images a batch; None: that of the pair.

        Raises:
            ValueError: the size is no whole number of at least 1.
        """
        size = self.batch_size if batch_size is None else batch_size
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"batch_size={size!r}: give a whole number of at least 1")
        return Loader(self, size)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log numbers of the training at a step, such as an epoch.

        Raises:
            ValueError: a score that `pair.log` measures, at a step at which it would hide the measured one.
        """
        if step > self.epochs:
            for name in metrics:
                if name.startswith(MEASURED):
                    raise ValueError(
                        f"{name} at step {step}: pair.log measures it at step {self.epochs}, the last of epochs=; "
                        "count epochs, or choose another name"
                    )
        self.run.log_metrics(metrics, step)


@dataclass(frozen=True)
class Loader:
    """The batches of a side, epoch by epoch."""

    side: Side
    batch_size: int

    def __len__(self) -> int:
        return -(-len(self.side.labels) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        side, trainee = self.side, self.side.trainee
        side._drawn += 1
        epoch = side._drawn
        with trainee.noise.epoch(epoch, len(side.labels), self.batch_size, side.flips) as draws:
            yield from drawn_batches(trainee, draws)
        trainee.traces.append(trace_epoch(epoch, draws, trainee.host_labels))
        side.moved.on_epoch(epoch)
