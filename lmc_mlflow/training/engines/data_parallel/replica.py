"""Trains the copy of a network that one process of a group holds, on its share of every batch."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lmc_mlflow.batches import send
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.precision import products
from lmc_mlflow.predictions.scores import Tally, make_tally, sample_losses
from lmc_mlflow.training.augmentation import flip_in_place, translate_images
from lmc_mlflow.training.engines.data_parallel.layers import shared_copy
from lmc_mlflow.training.engines.data_parallel.shares import Share
from lmc_mlflow.training.noise_trace import trace_epoch
from lmc_mlflow.training.optimizers import clip, learning_rate
from lmc_mlflow.training.precision import forward
from lmc_mlflow.training.trainee import Trainee


@dataclass(frozen=True)
class Replica:
    """The copy of a network that one process holds.

    Attributes:
        trainee: whose weights and buffers it has.
        share: of this process in the batches.
        network: maps this process's images to outputs; its backward pass averages the gradients over the group.
    """

    trainee: Trainee
    share: Share
    network: nn.Module

    @classmethod
    def of(cls, trainee: Trainee, rank: int, num_ranks: int) -> "Replica":
        """Make the replica of a trainee; all processes of the group do so together."""
        share = Share(rank, num_ranks)
        return cls(trainee, share, DistributedDataParallel(shared_copy(trainee.network, share)))


def train_replicas(replicas: Sequence[Replica], config: OptimizationConfig, flips: bool, epoch: int) -> list[Tally]:
    """Train each replica (in place) by one pass; returns what this process's share of each adds up to."""
    with products(config.precision), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")  # of axes with one entry
        return [_train(replica, config, flips, epoch) for replica in replicas]


def _train(replica: Replica, config: OptimizationConfig, flips: bool, epoch: int) -> Tally:
    """Train one replica; all processes draw the noise of the whole batch.

    The gradient is that of the mean loss over the whole batch, however many of its images are this process's: the
    group averages over processes, so each takes the sum of its losses, times processes, over images of the batch.
    """
    trainee, share, size = replica.trainee, replica.share, config.batch_size
    num_samples, device = len(trainee.labels), trainee.labels.device
    steps_per_epoch = math.ceil(num_samples / size)
    tally = make_tally(trainee.labels)
    replica.network.train()
    with trainee.noise.epoch(epoch, num_samples, size, flips) as draws:
        shared_images = share.images(trainee.images, draws.order, size, draws.boxes)
        moves = None if draws.moves is None else torch.split(send(draws.moves, device), size)
        for i, ((positions, flipped), images) in enumerate(zip(draws.batches(), shared_images, strict=True)):
            share.batch = len(positions)
            labels = trainee.labels[positions[share.part]]
            if flipped is not None:
                flip_in_place(images, flipped[share.part])
            if moves is not None:
                images = translate_images(images, moves[i][share.part], trainee.noise.translate, trainee.edge)
            for group in trainee.optimizer.param_groups:
                group["lr"] = learning_rate(config, (epoch - 1) * steps_per_epoch + i, steps_per_epoch)
            trainee.optimizer.zero_grad()
            with forward(config.precision, device):
                outputs = replica.network(images)
                losses = sample_losses(outputs, labels)
                loss = losses.sum() * (share.num_ranks / share.batch)
            loss.backward()  # type: ignore[no-untyped-call]
            clip(trainee.network.parameters(), config)
            trainee.optimizer.step()
            tally.add(losses.detach().double().sum(), outputs.detach().float(), labels)
    trainee.traces.append(trace_epoch(epoch, draws, trainee.host_labels))
    return tally
