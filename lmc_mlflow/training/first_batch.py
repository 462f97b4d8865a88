"""Draws the first images of a training as the network gets them."""

from torch import Tensor

from lmc_mlflow.training.augmentation import flip_in_place, translate_images
from lmc_mlflow.training.noise import NoiseStream
from lmc_mlflow.training.trainee import Trainee


def first_images(
    trainee: Trainee, noise: NoiseStream, batch_size: int, flips: bool, num_images: int
) -> tuple[Tensor, Tensor]:
    """Return the first images of the first batch of epoch 1, flipped and moved as drawn, and their labels.

    Args:
        trainee: whose images they are.
        noise: of that side, before its first epoch.
        batch_size: of the training.
        flips: whether images are flipped at random.
        num_images: how many at most.

    Returns:
        Images (n, C, H, W) and labels (n,) or (n, K), both on the CPU.
    """
    images, labels = trainee.images, trainee.labels
    with noise.epoch(1, len(labels), batch_size, flips) as draws:
        first = draws.order[:batch_size]
        (batch,) = images.batches(first, batch_size, None if draws.boxes is None else draws.boxes[:batch_size])
        positions, flipped = next(draws.batches())
        if flipped is not None:
            flip_in_place(batch, flipped)
        if draws.moves is not None:
            moves = draws.moves[:batch_size].to(batch.device)
            batch = translate_images(batch, moves, noise.translate, trainee.edge)
    return batch[:num_images].cpu(), labels[positions[:num_images].to(labels.device)].cpu()
