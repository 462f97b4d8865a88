"""Gathers the batches of an epoch as the noise has drawn them: order, flips, translations or crops."""

from collections.abc import Iterator

import torch
from torch import Tensor

from lmc_mlflow.batches import send
from lmc_mlflow.training.augmentation import flip_in_place, translate_images
from lmc_mlflow.training.noise import EpochDraws
from lmc_mlflow.training.trainee import Trainee


def drawn_batches(trainee: Trainee, draws: EpochDraws) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images (n, C, H, W) and labels (n,) or (n, K) of each batch, on the training device.

    Args:
        trainee: whose images they are.
        draws: of the epoch.
    """
    batches = trainee.images.batches(draws.order, draws.batch_size, draws.boxes)
    moves = None
    if draws.moves is not None:
        moves = torch.split(send(draws.moves, trainee.labels.device), draws.batch_size)
    for i, ((positions, flipped), images) in enumerate(zip(draws.batches(), batches, strict=True)):
        if flipped is not None:
            flip_in_place(images, flipped)
        if moves is not None:
            images = translate_images(images, moves[i], trainee.noise.translate, trainee.edge)
        yield images, trainee.labels[positions]
