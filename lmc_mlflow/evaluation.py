"""How well does one network do on one set of images?"""

import torch
from torch import Tensor, nn

from lmc_mlflow.batches import Images
from lmc_mlflow.predictions.scores import Scores, make_tally, sample_losses

BATCH_SIZE = 1000


@torch.no_grad()
def predict(network: nn.Module, images: Images) -> Tensor:
    """Outputs (N, K) on the CPU, in evaluation mode and the batches of `evaluate`.

    Args:
        network: maps (N, C, H, W) to (N, K); its modes are put back as they were.
        images: on the network's device.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    outputs = torch.cat([network(part).cpu() for part in images.batches(None, BATCH_SIZE)])
    for module, mode in modes.items():
        module.training = mode
    return outputs


@torch.no_grad()
def evaluate(network: nn.Module, images: Images, labels: Tensor) -> Scores:
    """Mean loss, and accuracy or average precision, in evaluation mode; the network's modes are put back.

    Endpoints and paths both go through here, in the same batches, which is why a path's ends equal
    the endpoints' own test metrics to the last bit.

    Args:
        network: maps (N, C, H, W) to (N, K): log-probabilities or logits, as the labels want them.
        images: on the network's device.
        labels: (N,) class indices or (N, K) zeros and ones.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    tally, start = make_tally(labels), 0
    for part in images.batches(None, BATCH_SIZE):
        truth = labels[start : start + len(part)]
        outputs = network(part)
        tally.add(sample_losses(outputs, truth).double().sum(), outputs, truth)
        start += len(part)
    for module, mode in modes.items():
        module.training = mode
    return tally.scores()
