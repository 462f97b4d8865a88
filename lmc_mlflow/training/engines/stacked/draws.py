"""What does a network see in an epoch? The draws of its noise, laid out before the first step."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.predictions.scores import Scores, make_tally, sample_losses
from lmc_mlflow.training.augmentation import translate_images
from lmc_mlflow.training.noise_trace import EpochTrace, trace_epoch
from lmc_mlflow.training.trainee import Trainee

CPU = torch.device("cpu")


@dataclass(frozen=True)
class EpochPlan:
    """The batches of one network in one epoch.

    A batch is the one that was drawn; within it the images that are to be flipped come last, so that all of
    them are flipped at once. Sums over a batch are the same up to rounding.

    Attributes:
        images: (N, C, H, W) of the side.
        order: (N,) positions in them.
        labels: (N,) or (N, K), in this order.
        num_upright: images of each batch that are not flipped; None: none is.
        trace: of the draws as they were drawn.
        moves: (N, 2) pixels by which the images move down and to the right, in this order; None: none does.
        translate: the largest of the moves.
    """

    images: Tensor
    order: Tensor
    labels: Tensor
    num_upright: list[int] | None
    trace: EpochTrace
    moves: Tensor | None = None
    translate: int = 0

    def gather(self, index: int, start: int, batch: Tensor) -> None:
        """Write the images of the batch of this index, whose first place in the epoch is `start`, into `batch`."""
        positions = self.order[start : start + len(batch)]
        upright = len(batch) if self.num_upright is None else self.num_upright[index]
        torch.index_select(self.images, 0, positions[:upright], out=batch[:upright])
        if upright < len(batch):
            batch[upright:].copy_(self.images.index_select(0, positions[upright:]).flip(-1))
        if self.moves is not None:
            batch.copy_(translate_images(batch, self.moves[start : start + len(batch)], self.translate))

    def flipped(self, batch_size: int) -> Tensor:
        """(N,) whether each image is flipped, in this order."""
        assert self.num_upright is not None, "nothing was drawn to flip"
        place = torch.arange(len(self.order))
        return place % batch_size >= torch.tensor(self.num_upright)[place // batch_size]

    def targets(self, num_classes: int) -> Tensor:
        """(N, K) float32: ones where a label is."""
        if self.labels.ndim == 2:
            return self.labels.float()
        return (self.labels[:, None] == torch.arange(num_classes, device=self.labels.device)).float()

    def scores(self, outputs: Tensor) -> Scores:
        """Means over the epoch; outputs (N, K) as they were trained on."""
        tally = make_tally(self.labels)
        tally.add(sample_losses(outputs, self.labels).double().sum(), outputs, self.labels)
        return tally.scores()


def plan_epoch(trainee: Trainee, batch_size: int, flips: bool, epoch: int) -> EpochPlan:
    """Draw what the trainee's noise holds for an epoch, as the exact engine draws it."""
    assert isinstance(trainee.images, ResidentImages)
    num_samples = len(trainee.labels)
    with trainee.noise.epoch(epoch, num_samples, batch_size, flips) as draws:
        for _ in replace(draws, device=CPU).batches():  # flips are drawn batch by batch, into the list both share
            pass
    order, moves, num_upright = draws.order, draws.moves, None
    if flips:
        places, num_upright = _upright_first(torch.cat(draws.flipped), batch_size)
        order, moves = order[places], None if moves is None else moves[places]
    device = trainee.labels.device
    order, moves = order.to(device), None if moves is None else moves.to(device)
    trace = trace_epoch(epoch, draws, trainee.labels.cpu())
    labels, images = trainee.labels[order], trainee.images.tensor
    return EpochPlan(images, order, labels, num_upright, trace, moves, trainee.noise.translate)


def _upright_first(flipped: Tensor, batch_size: int) -> tuple[Tensor, list[int]]:
    """Places (N,) that bring the upright images of each batch to its front, and how many each has."""
    batch = torch.arange(len(flipped)) // batch_size
    places = torch.argsort(2 * batch + flipped, stable=True)
    return places, torch.bincount(batch[~flipped], minlength=int(batch[-1]) + 1).tolist()
