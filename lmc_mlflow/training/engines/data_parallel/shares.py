"""Divides every batch among the processes of a group."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lmc_mlflow.batches import Images


@dataclass
class Share:
    """The share of one process in the batches, and the batch that is being trained on.

    Attributes:
        rank: of the process, from 0.
        num_ranks: processes of the group.
        batch: images in the whole batch.
    """

    rank: int
    num_ranks: int
    batch: int = 0

    @property
    def part(self) -> slice:
        """Which images of the batch that is being trained on are this process's."""
        return self.of(self.batch)

    def of(self, batch: int) -> slice:
        """Tell which images of a batch are this process's: as many as any other's, or one more or less."""
        each, more = divmod(batch, self.num_ranks)
        start = self.rank * each + min(self.rank, more)
        return slice(start, start + each + (self.rank < more))

    def images(self, images: Images, order: Tensor, batch_size: int, boxes: Tensor | None = None) -> Iterator[Tensor]:
        """Yield this process's images of every batch; of a last batch that is smaller than the group, maybe none.

        Args:
            images: N of them.
            order: (N,) positions.
            batch_size: of whole batches, at least one image for each process.
            boxes: (N, 4) in the same order; None: whole images.
        """
        parts = [batch[self.of(len(batch))] for batch in torch.split(order, batch_size)]
        if boxes is not None:
            boxes = torch.cat([batch[self.of(len(batch))] for batch in torch.split(boxes, batch_size)])
        for mine in images.batches(torch.cat(parts), len(parts[0]), boxes):
            yield mine
        if not len(parts[-1]):
            yield mine[:0]
