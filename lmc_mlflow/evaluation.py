"""Evaluates one network on one set of images: outputs, loss and score."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lmc_mlflow.batches import Images
from lmc_mlflow.precision import products
from lmc_mlflow.predictions.scores import Scores, check_outputs, make_tally, sample_losses
from lmc_mlflow.weights import State

BATCH_SIZE = 1000


@torch.no_grad()
def batch_outputs(network: nn.Module, images: Images) -> Iterator[Tensor]:
    """Yield outputs (n, K) batch by batch, in evaluation mode and float32; the network's modes are put back.

    Args:
        network: maps (N, C, H, W) to (N, K).
        images: on the network's device.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        for part in images.batches(None, BATCH_SIZE):
            with products("float32"):
                outputs = network(part)
            yield outputs
    finally:
        for module, mode in modes.items():
            module.training = mode


def labelled_outputs(network: nn.Module, images: Images, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield outputs (n, K) with their labels, batch by batch; arguments and errors as in `evaluate`."""
    start = 0
    for outputs in batch_outputs(network, images):
        if not start:
            check_outputs(outputs, labels)
        yield outputs, labels[start : start + len(outputs)]
        start += len(outputs)


def predict(network: nn.Module, images: Images) -> Tensor:
    """Compute outputs (N, K) on the CPU; arguments as in `batch_outputs`."""
    return torch.cat([outputs.cpu() for outputs in batch_outputs(network, images)])


@torch.no_grad()
def check_state(network: nn.Module, state: State, images: Images, labels: Tensor) -> None:
    """Apply a network with these weights to two images, and refuse outputs that do not fit the labels.

    Args:
        network: in evaluation mode; its own weights stay as they are.
        state: the weights.
        images: as in `evaluate`.
        labels: as in `evaluate`.

    Raises:
        ValueError: the labels are class indices, and the outputs no log-probabilities.
    """
    few = torch.arange(min(2, images.shape[0]))
    if labels.ndim == 1 and len(few):
        check_outputs(functional_call(network, dict(state), (next(images.batches(few, 2)),)), labels)


def evaluate(network: nn.Module, images: Images, labels: Tensor) -> Scores:
    """Compute the mean loss, and accuracy or average precision, in evaluation mode; modes are put back.

    Endpoints and paths see the same batches and add in the same order, which is why a path's ends equal the
    endpoints' own test metrics to the last bit.

    Args:
        network: maps (N, C, H, W) to (N, K): log-probabilities or logits, as the labels want them.
        images: on the network's device.
        labels: (N,) class indices or (N, K) zeros and ones.

    Raises:
        ValueError: the labels are class indices, and the outputs no log-probabilities.
    """
    tally = make_tally(labels)
    for outputs, truth in labelled_outputs(network, images, labels):
        tally.add(sample_losses(outputs, truth).double().sum(), outputs, truth)
    return tally.scores()
