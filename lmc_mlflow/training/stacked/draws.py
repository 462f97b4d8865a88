"""What does a network see in an epoch? The draws of its noise, laid out before the first step."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lmc_mlflow.images import ResidentImages
from lmc_mlflow.predictions.scores import Scores, make_tally, sample_losses
from lmc_mlflow.training.trace import EpochTrace, trace_epoch
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
    """

    images: Tensor
    order: Tensor
    labels: Tensor
    num_upright: list[int] | None
    trace: EpochTrace

    def gather(self, index: int, start: int, batch: Tensor) -> None:
        """Write the images of the batch of this index, whose first place in the epoch is `start`, into `batch`."""
        positions = self.order[start : start + len(batch)]
        if self.num_upright is None:
            torch.index_select(self.images, 0, positions, out=batch)
            return
        upright = self.num_upright[index]
        torch.index_select(self.images, 0, positions[:upright], out=batch[:upright])
        batch[upright:].copy_(self.images.index_select(0, positions[upright:]).flip(-1))

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
    order, num_upright = draws.order, None
    if flips:
        order, num_upright = _upright_first(order, torch.cat(draws.flipped), batch_size)
    order = order.to(trainee.labels.device)
    trace = trace_epoch(epoch, draws, trainee.labels.cpu())
    return EpochPlan(trainee.images.tensor, order, trainee.labels[order], num_upright, trace)


def _upright_first(order: Tensor, flipped: Tensor, batch_size: int) -> tuple[Tensor, list[int]]:
    batch = torch.arange(len(order)) // batch_size
    places = torch.argsort(2 * batch + flipped, stable=True)
    return order[places], torch.bincount(batch[~flipped], minlength=int(batch[-1]) + 1).tolist()
