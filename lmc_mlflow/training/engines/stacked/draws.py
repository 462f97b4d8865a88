"""Draws the noise of a whole epoch of one network before the first step."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lmc_mlflow.batches import ResidentImages, send
from lmc_mlflow.predictions.scores import Scores, make_tally, sample_losses
from lmc_mlflow.training.augmentation import translate_images
from lmc_mlflow.training.noise_trace import EpochTrace, trace_epoch
from lmc_mlflow.training.trainee import Trainee

CPU = torch.device("cpu")


@dataclass(frozen=True)
class EpochPlan:
    """The batches of one network in one epoch.

    Each batch has the images that were drawn for it, but the flipped ones come last, so that all of them are flipped at
    once. Sums over a batch are the same up to rounding.

    Attributes:
        images: (N, C, H, W) of the side.
        order: (N,) positions in them.
        labels: (N,) or (N, K), in this order.
        num_upright: number of images of each batch that are not flipped; None: no image is flipped.
        trace: of the draws in their original order.
        moves: (N, 2) pixels by which the images move down and to the right, in this order; None: no moves.
        translate: the largest possible move, in pixels.
        edge: (C, 1, 1), what comes in where an image is moved; None: 0.
    """

    images: Tensor
    order: Tensor
    labels: Tensor
    num_upright: list[int] | None
    trace: EpochTrace
    moves: Tensor | None = None
    translate: int = 0
    edge: Tensor | None = None

    def gather(self, index: int, start: int, batch: Tensor) -> None:
        """Write the images of one batch into `batch`.

        Args:
            index: of the batch in the epoch.
            start: position in the epoch of its first image.
            batch: (n, C, H, W), overwritten.
        """
        positions = self.order[start : start + len(batch)]
        upright = len(batch) if self.num_upright is None else self.num_upright[index]
        torch.index_select(self.images, 0, positions[:upright], out=batch[:upright])
        if upright < len(batch):
            batch[upright:].copy_(self.images.index_select(0, positions[upright:]).flip(-1))
        if self.moves is not None:
            moves = self.moves[start : start + len(batch)]
            batch.copy_(translate_images(batch, moves, self.translate, self.edge))

    def flipped(self, batch_size: int) -> Tensor:
        """Tell (N,) which images are flipped, in the order of the epoch."""
        assert self.num_upright is not None, "nothing was drawn to flip"
        position = torch.arange(len(self.order))
        return position % batch_size >= torch.tensor(self.num_upright)[position // batch_size]

    def targets(self, num_classes: int) -> Tensor:
        """Return the labels as (N, K) float32 zeros and ones."""
        if self.labels.ndim == 2:
            return self.labels.float()
        return (self.labels[:, None] == torch.arange(num_classes, device=self.labels.device)).float()

    def scores(self, outputs: Tensor) -> Scores:
        """Compute the means over the epoch from the outputs (N, K) as they were trained on."""
        tally = make_tally(self.labels)
        tally.add(sample_losses(outputs, self.labels).double().sum(), outputs, self.labels)
        return tally.scores()


def plan_epoch(trainee: Trainee, batch_size: int, flips: bool, epoch: int) -> EpochPlan:
    """Draw the noise of an epoch of a trainee, with the same draws as in the exact engine."""
    assert isinstance(trainee.images, ResidentImages)
    num_samples = len(trainee.labels)
    with trainee.noise.epoch(epoch, num_samples, batch_size, flips) as draws:
        for _ in replace(draws, device=CPU).batches():  # flips are drawn batch by batch, into the list both share
            pass
    order, moves, num_upright = draws.order, draws.moves, None
    if flips:
        positions, num_upright = _upright_first(torch.cat(draws.flipped), batch_size)
        order, moves = order[positions], None if moves is None else moves[positions]
    device = trainee.labels.device
    order, moves = send(order, device), None if moves is None else send(moves, device)
    trace = trace_epoch(epoch, draws, trainee.host_labels)
    labels, images = trainee.labels[order], trainee.images.tensor
    return EpochPlan(images, order, labels, num_upright, trace, moves, trainee.noise.translate, trainee.edge)


def _upright_first(flipped: Tensor, batch_size: int) -> tuple[Tensor, list[int]]:
    """Return positions (N,) that put the upright images of each batch first, and the number of them in each batch."""
    batch = torch.arange(len(flipped)) // batch_size
    positions = torch.argsort(2 * batch + flipped, stable=True)
    return positions, torch.bincount(batch[~flipped], minlength=int(batch[-1]) + 1).tolist()
