"""How well does one network do on one set of images?"""

import torch
from torch import Tensor, nn

from lmc_mlflow.predictions.scores import Scores, score_batch

BATCH_SIZE = 1000


@torch.no_grad()
def predict(network: nn.Module, images: Tensor) -> Tensor:
    """Log-probabilities (N, K) on the CPU, in evaluation mode and the batches of `evaluate`.

    Args:
        network: maps (N, C, H, W) to log-probabilities (N, K); its modes are put back as they were.
        images: (N, C, H, W), on the network's device.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    outputs = torch.cat([network(part).cpu() for part in torch.split(images, BATCH_SIZE)])
    for module, mode in modes.items():
        module.training = mode
    return outputs


@torch.no_grad()
def evaluate(network: nn.Module, images: Tensor, labels: Tensor) -> Scores:
    """Mean loss and accuracy in evaluation mode; the network's modes are put back as they were.

    Endpoints and paths both go through here, in the same batches, which is why a path's ends equal
    the endpoints' own test metrics to the last bit.

    Args:
        network: maps (N, C, H, W) to log-probabilities (N, K).
        images: (N, C, H, W), on the network's device.
        labels: (N,) class indices.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    total = torch.zeros(2, dtype=torch.float64, device=images.device)
    for start in range(0, len(images), BATCH_SIZE):
        part = slice(start, start + BATCH_SIZE)
        total += score_batch(network(images[part]), labels[part])
    for module, mode in modes.items():
        module.training = mode
    loss_sum, num_correct = total.tolist()
    return Scores(loss_sum / len(images), num_correct / len(images))
