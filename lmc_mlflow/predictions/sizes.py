"""Scores random subsets of an ensemble's members against their size."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.predictions.calibration import entropy, weighted_auroc, weighted_ece
from lmc_mlflow.predictions.combination import check_predictions

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LogProbabilities = NDArray[np.float32]
ACCURACIES_BY_SIZE = ("mean_prediction", "majority_vote")
SCORES_BY_SIZE = ("ece", "auroc_max_probability", "auroc_entropy")


def growing_ensembles(
    log_probabilities: LogProbabilities, num_orders: int, rng: np.random.Generator
) -> Iterator[tuple[int, int, int, Floats]]:
    """Yield ensembles that grow by one member at a time: order, size - 1, newest member, summed probabilities (N, K).

    The sums are one array that is changed in place from step to step; the caller must not keep it.

    Args:
        log_probabilities: (M, N, K).
        num_orders: random orders of the members.
        rng: draws the orders.

    Raises:
        ValueError: there is no member, or no sample.
    """
    check_predictions(log_probabilities)
    for o in range(num_orders):
        total = np.zeros(log_probabilities.shape[1:])
        for s, member in enumerate(rng.permutation(len(log_probabilities))):
            total += np.exp(log_probabilities[member].astype(np.float64))
            yield o, s, int(member), total


def accuracy_by_size(
    log_probabilities: LogProbabilities, labels: Ints, num_orders: int, rng: np.random.Generator
) -> dict[str, Floats]:
    """Compute the accuracy of random subsets of every size, one subset of each size from each order.

    Args:
        log_probabilities: (M, N, K).
        labels: (N,).
        num_orders: random orders of the members.
        rng: draws the orders.

    Returns:
        Method of `ACCURACIES_BY_SIZE` -> (num_orders, M), column s - 1 for s members.
    """
    votes = log_probabilities.argmax(axis=2)
    samples = np.arange(len(labels))
    counts = np.zeros(log_probabilities.shape[1:])

    def accuracies(member: int, size: int, total: Floats) -> tuple[float, float]:
        if size == 1:
            counts[:] = 0
        counts[samples, votes[member]] += 1
        tied = counts == counts.max(axis=1, keepdims=True)
        voted = np.where(tied, total, -1.0).argmax(axis=1)
        return (total.argmax(axis=1) == labels).mean(), (voted == labels).mean()

    return _by_size(log_probabilities, num_orders, rng, ACCURACIES_BY_SIZE, accuracies)


def scores_by_size(
    log_probabilities: LogProbabilities, labels: Ints, num_orders: int, rng: np.random.Generator
) -> dict[str, Floats]:
    """Compute calibration error and both AUROCs of random subsets of every size (Sonthalia et al., Fig. 5).

    Arguments and result as in `accuracy_by_size`, of the scores `SCORES_BY_SIZE`.
    """
    once = np.ones((1, len(labels)))

    def scores(_: int, size: int, total: Floats) -> tuple[float, float, float]:
        probabilities = total / size
        confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
        return (
            weighted_ece(confidence, correct, once)[0],
            weighted_auroc(confidence, correct, once)[0],
            weighted_auroc(-entropy(probabilities), correct, once)[0],
        )

    return _by_size(log_probabilities, num_orders, rng, SCORES_BY_SIZE, scores)


def _by_size(
    log_probabilities: LogProbabilities,
    num_orders: int,
    rng: np.random.Generator,
    names: Sequence[str],
    measure: Callable[[int, int, Floats], Sequence[float]],
) -> dict[str, Floats]:
    """Measure subsets of every size: `measure` takes the newest member, the size, and the summed probabilities."""
    ensembles = growing_ensembles(log_probabilities, num_orders, rng)
    values = np.array([measure(member, s + 1, total) for _, s, member, total in ensembles])
    values = values.reshape(num_orders, len(log_probabilities), len(names))
    return {name: values[:, :, i].copy() for i, name in enumerate(names)}
