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
MOST_OUTPUTS_KEPT = 2**23
"""Numbers, 32 MiB in single precision: an epoch of MNIST or CIFAR-10 is below it."""
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
    """The losses and outputs of batches, of which scores are made; nothing is read back from the device before that."""

    def add(self, loss: Tensor, outputs: Tensor, labels: Tensor, weight: int = 1) -> None:
        """Add a batch: its loss (a scalar, whose product with `weight` is a sum), outputs (n, K) and labels."""

    def condense(self) -> None:
        """Sum up and join what has been added, so that it travels to another process in a few pieces."""

    def merge(self, other: "Tally") -> None:
        """Add what another tally for labels of this kind has been given, on the same device."""

    def scores(self) -> Scores:
        """Compute the scores of all samples so far."""


def make_tally(labels: Tensor) -> Tally:
    """Make an empty tally for labels of this kind."""
    return _AccuracyTally() if labels.ndim == 1 else _PrecisionTally()


class _Batches:
    """What has been added so far."""

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._weights: list[int] = []
        self._outputs: list[Tensor] = []
        self._labels: list[Tensor] = []

    def add(self, loss: Tensor, outputs: Tensor, labels: Tensor, weight: int = 1) -> None:
        self._losses.append(loss)
        self._weights.append(weight)
        self._outputs.append(outputs.detach())
        self._labels.append(labels)

    def condense(self) -> None:
        weights = torch.tensor(self._weights, dtype=torch.float64, device=self._losses[0].device)
        self._losses, self._weights = [torch.stack(self._losses).double() @ weights], [1]
        self._labels = [_joined(self._labels)]

    def merge(self, other: Tally) -> None:
        assert isinstance(other, type(self))
        self._losses += other._losses
        self._weights += other._weights
        self._outputs += other._outputs
        self._labels += other._labels

    def _mean_loss(self, losses: list[float]) -> float:
        total = 0.0
        for loss, weight in zip(losses, self._weights, strict=True):  # not `sum`, which rounds otherwise from 3.12 on
            total += loss * weight
        return total / sum(map(len, self._labels))


class _AccuracyTally(_Batches):
    """Counts what is correct now and then: in every batch it would take a third as long as the step of an MLP."""

    def __init__(self) -> None:
        super().__init__()
        self._num_outputs = 0
        self._correct: list[Tensor] = []

    def add(self, loss: Tensor, outputs: Tensor, labels: Tensor, weight: int = 1) -> None:
        super().add(loss, outputs, labels, weight)
        self._num_outputs += outputs.numel()
        if self._num_outputs > MOST_OUTPUTS_KEPT:
            self._count()

    def condense(self) -> None:
        self._count()
        super().condense()
        self._correct = [torch.stack(self._correct).sum()]

    def merge(self, other: Tally) -> None:
        assert isinstance(other, _AccuracyTally)
        self._count()
        other._count()
        super().merge(other)
        self._correct += other._correct

    def _count(self) -> None:
        if self._outputs:
            outputs, labels = _joined(self._outputs), _joined(self._labels[-len(self._outputs) :])
            self._correct.append((outputs.argmax(dim=1) == labels).sum(dtype=torch.float64))
        self._outputs, self._num_outputs = [], 0

    def scores(self) -> Scores:
        self._count()
        read = torch.stack([*self._losses, *self._correct]).tolist()  # one wait for the device, in double precision
        losses, correct = read[: len(self._losses)], read[len(self._losses) :]
        return Scores(self._mean_loss(losses), sum(correct) / sum(map(len, self._labels)))


class _PrecisionTally(_Batches):
    """Keeps every output, because ranks need them: (N, K) floats, 29 MB for 384,030 patches of 19 classes."""

    def condense(self) -> None:
        super().condense()
        self._outputs = [_joined(self._outputs)]

    def scores(self) -> Scores:
        outputs, labels = _joined(self._outputs), _joined(self._labels)
        losses = torch.stack(self._losses).double().tolist()
        return Scores(self._mean_loss(losses), weighted_average_precision(outputs, labels))


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


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
