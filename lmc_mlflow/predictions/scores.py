"""Scores of one network: loss, and accuracy or average precision.

Labels (N,) are class indices: outputs are log-probabilities, the loss is the negative log-likelihood and the
score is the accuracy. Labels (N, K) are zeros and ones, an image having any number of labels: outputs are
logits, the loss is the binary cross entropy (mean over the classes) and the score is the average precision
of the classes, weighted by how often each occurs.
"""

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

ACCURACY = "accuracy"
AVERAGE_PRECISION = "average_precision"
SUM_WITHIN = 1e-2
"""How far the logarithm of a sum of probabilities may be from 0; rounding of half precision stays below."""
SCORE_NAMES = (ACCURACY, AVERAGE_PRECISION)


class Scores(NamedTuple):
    """Mean loss (nats) and accuracy or weighted average precision (fractions)."""

    loss: float
    score: float


def score_name(labels: Tensor) -> str:
    """Return `accuracy` for class indices (N,), `average_precision` for zeros and ones (N, K)."""
    return ACCURACY if labels.ndim == 1 else AVERAGE_PRECISION


def check_outputs(outputs: Tensor, labels: Tensor) -> None:
    """Refuse outputs (n, K) that are no log-probabilities, where class indices ask for them.

    Logits would give losses below zero, and barriers of nothing. Rows that are not finite are passed over: a training
    that diverged is told by its loss.

    Raises:
        ValueError: the exponentials of a row do not sum to 1.
    """
    if labels.ndim != 1 or outputs.ndim != 2 or not len(outputs):
        return
    sums = outputs.detach().float().logsumexp(dim=1)
    worst = sums.abs().where(sums.isfinite(), torch.zeros_like(sums)).argmax()
    if sums[worst].isfinite() and abs(float(sums[worst])) > SUM_WITHIN:
        raise ValueError(
            f"outputs are no log-probabilities: their exponentials sum to {float(sums[worst].exp()):.4g}, "
            "not to 1; end the network with nn.LogSoftmax(dim=1), or give labels (N, K) for logits of several labels"
        )


def sample_losses(outputs: Tensor, labels: Tensor) -> Tensor:
    """Compute the loss of each sample (N,) from outputs (N, K): log-probabilities or logits, as fits the labels."""
    if labels.ndim == 1:
        return functional.nll_loss(outputs, labels, reduction="none")
    return functional.binary_cross_entropy_with_logits(outputs, labels.float(), reduction="none").mean(dim=1)


def mean_loss(outputs: Tensor, labels: Tensor) -> Tensor:
    """Compute the mean loss of a batch, which training differentiates."""
    if labels.ndim == 1:
        return functional.nll_loss(outputs, labels)
    return functional.binary_cross_entropy_with_logits(outputs, labels.float())


class Tally(Protocol):
    """Sums over batches that scores are made of; nothing is read back from the device before `scores`."""

    def add(self, loss_sum: Tensor, outputs: Tensor, labels: Tensor) -> None:
        """Add a batch: its summed loss (float64), outputs (n, K) and labels."""

    def merge(self, other: "Tally") -> None:
        """Add what another tally for labels of this kind has summed up, on the same device."""

    def scores(self) -> Scores:
        """Compute the scores of all samples so far."""


def make_tally(labels: Tensor) -> Tally:
    """Make an empty tally for labels of this kind, on their device."""
    return _AccuracyTally(labels.device) if labels.ndim == 1 else _PrecisionTally(labels.device)


class _AccuracyTally:
    def __init__(self, device: torch.device) -> None:
        self._totals = torch.zeros(2, dtype=torch.float64, device=device)
        self._num_samples = 0

    def add(self, loss_sum: Tensor, outputs: Tensor, labels: Tensor) -> None:
        correct = (outputs.argmax(dim=1) == labels).sum()
        self._totals += torch.stack([loss_sum, correct.double()])
        self._num_samples += len(labels)

    def merge(self, other: Tally) -> None:
        assert isinstance(other, _AccuracyTally)
        self._totals += other._totals
        self._num_samples += other._num_samples

    def scores(self) -> Scores:
        loss_sum, num_correct = self._totals.tolist()
        return Scores(loss_sum / self._num_samples, num_correct / self._num_samples)


class _PrecisionTally:
    """Keeps every output, because ranks need them: (N, K) floats, 29 MB for 384,030 patches of 19 classes."""

    def __init__(self, device: torch.device) -> None:
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self._outputs: list[Tensor] = []
        self._labels: list[Tensor] = []

    def add(self, loss_sum: Tensor, outputs: Tensor, labels: Tensor) -> None:
        self._loss_sum += loss_sum
        self._outputs.append(outputs.detach())
        self._labels.append(labels)

    def merge(self, other: Tally) -> None:
        assert isinstance(other, _PrecisionTally)
        self._loss_sum += other._loss_sum
        self._outputs += other._outputs
        self._labels += other._labels

    def scores(self) -> Scores:
        outputs, labels = torch.cat(self._outputs), torch.cat(self._labels)
        return Scores(self._loss_sum.item() / len(labels), weighted_average_precision(outputs, labels))


def weighted_average_precision(outputs: Tensor, labels: Tensor) -> float:
    """Average the average precision of the classes (scikit-learn's), weighted by their numbers of positives.

    A class without positives has no average precision and is left out. Outputs that are not finite give NaN.

    Args:
        outputs: (N, K) logits or anything that ranks like them.
        labels: (N, K) zeros and ones, at least one of them a one.
    """
    from sklearn.metrics import average_precision_score

    ranks, truth = outputs.float().cpu().numpy(), labels.cpu().numpy()
    present = truth.sum(axis=0) > 0
    assert present.any(), "labels without a single positive"
    if not np.isfinite(ranks).all():
        return float("nan")
    return float(average_precision_score(truth[:, present], ranks[:, present], average="weighted"))
