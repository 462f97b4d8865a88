"""Holds the draws and outputs of an epoch on the device, where a captured step finds its batch by itself."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lmc_mlflow.batches import send
from lmc_mlflow.training.augmentation import translate_images
from lmc_mlflow.training.engines.stacked.draws import EpochPlan
from lmc_mlflow.weights import copy_all


class ResidentEpoch:
    """One epoch of G networks with N images each; the position in it is kept on the device, too.

    Attributes:
        outputs: (G, N, K) as they were trained on, in the order of the epoch; overwritten in the next one.
        cursor: position in the epoch of the next batch's first image; a scalar.
        lr: learning rate of the following steps; a scalar.
    """

    def __init__(
        self, images: Sequence[Tensor], num_classes: int, flips: bool, translate: int, edges: Sequence[Tensor] = ()
    ) -> None:
        """Allocate an epoch of zeros.

        Args:
            images: (N, C, H, W) for each network.
            num_classes: K.
            flips: whether images are flipped.
            translate: the largest random translation in pixels.
            edges: (C, 1, 1) for each network, what comes in where an image is moved; empty: 0.
        """
        num_networks, num_samples = len(images), len(images[0])
        new = images[0].new_zeros
        self._images = images
        self._orders = new(num_networks, num_samples, dtype=torch.int64)
        self._flipped = new(num_networks, num_samples, dtype=torch.bool) if flips else None
        self._moves = new(num_networks, num_samples, 2, dtype=torch.int64) if translate else None
        self._translate = translate
        self._edges = torch.stack([*edges])[:, None] if edges else None
        self.outputs = new(num_networks, num_samples, num_classes)
        self.cursor, self.lr = new((), dtype=torch.int64), new(())
        self._positions = torch.arange(num_samples, device=self.cursor.device)
        self._known_lr: float | None = None

    def start(self, plans: Sequence[EpochPlan], batch_size: int) -> None:
        """Copy the draws of an epoch to the device and go to its first batch.

        Args:
            plans: of all networks, with equally many images: N of them, or fewer where the epoch ends early.
            batch_size: images a batch.
        """
        end = len(plans[0].order)
        into, source = [*self._orders[:, :end]], [plan.order for plan in plans]
        if self._flipped is not None:
            into += [*self._flipped[:, :end]]
            source += [send(plan.flipped(batch_size), self.cursor.device) for plan in plans]
        if self._moves is not None:
            into += [*self._moves[:, :end]]
            source += [plan.moves for plan in plans if plan.moves is not None]
        copy_all(into, source)
        self.cursor.zero_()

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the following steps."""
        if lr != self._known_lr:
            self.lr.fill_(lr)
            self._known_lr = lr

    def gather(self, batches: Tensor) -> Tensor:
        """Write the images of the next batch into `batches` (G, n, C, H, W), and return their positions (n,)."""
        here = self._positions[: batches.shape[1]] + self.cursor
        for images, order, batch in zip(self._images, self._orders.index_select(1, here), batches, strict=True):
            torch.index_select(images, 0, order, out=batch)
        if self._flipped is not None:
            flipped = self._flipped.index_select(1, here)[:, :, None, None, None]
            batches.copy_(torch.where(flipped, batches.flip(-1), batches))
        if self._moves is not None:
            moves = self._moves.index_select(1, here).flatten(0, 1)
            edges = self._edges
            if edges is not None:
                edges = edges.expand(-1, batches.shape[1], -1, -1, -1).flatten(0, 1)
            moved = translate_images(batches.flatten(0, 1), moves, self._translate, edges)
            batches.copy_(moved.view_as(batches))
        return here

    def advance(self, here: Tensor, outputs: Tensor) -> None:
        """Keep the outputs (G, n, K) of the batch at these positions, and go to the next one."""
        self.outputs.index_copy_(1, here, outputs)
        self.cursor.add_(len(here))
