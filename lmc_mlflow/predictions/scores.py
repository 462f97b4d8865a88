"""How well do outputs fit labels? Loss and accuracy of one network."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Scores(NamedTuple):
    """Mean negative log-likelihood (nats per sample) and accuracy (a fraction)."""

    loss: float
    accuracy: float


def score_batch(log_probabilities: Tensor, labels: Tensor) -> Tensor:
    """Sums over a batch, left on the device: (2,) float64, the summed loss and the number of correct samples.

    Args:
        log_probabilities: (N, K).
        labels: (N,) class indices.
    """
    loss = functional.nll_loss(log_probabilities, labels, reduction="none").double().sum()
    correct = (log_probabilities.argmax(dim=1) == labels).sum().double()
    return torch.stack([loss, correct])
