"""How do an ensemble's scores grow with its size? Random orders of the members, one subset of every size from each."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.predictions.calibration import entropy, weighted_auroc, weighted_ece

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SCORES_BY_SIZE = ("ece", "auroc_max_probability", "auroc_entropy")


def growing(
    log_probabilities: NDArray[np.float32], num_orders: int, rng: np.random.Generator
) -> Iterator[tuple[int, int, int, Floats]]:
    """Ensembles that grow by a member at a time: order, size - 1, newest member, summed probabilities (N, K).

    A cumulative sum serves all sizes of an order; it is handed out again and again, and must not be kept.

    Args:
        log_probabilities: (M, N, K).
        num_orders: random orders of the members.
        rng: draws the orders.
    """
    for o in range(num_orders):
        total = np.zeros(log_probabilities.shape[1:])
        for s, member in enumerate(rng.permutation(len(log_probabilities))):
            total += np.exp(log_probabilities[member].astype(np.float64))
            yield o, s, int(member), total


def accuracy_by_size(
    log_probabilities: NDArray[np.float32], labels: Ints, num_orders: int, rng: np.random.Generator
) -> dict[str, Floats]:
    """Accuracy of random subsets of every size: method -> (num_orders, M), column s - 1 for s members.

    Args:
        log_probabilities: (M, N, K).
        labels: (N,).
        num_orders: random orders of the members.
        rng: draws the orders.
    """
    num_members, num_samples, _ = log_probabilities.shape
    votes = log_probabilities.argmax(axis=2)
    accuracies = {method: np.zeros((num_orders, num_members)) for method in ("mean_prediction", "majority_vote")}
    samples = np.arange(num_samples)
    counts = np.zeros(log_probabilities.shape[1:])
    for o, s, member, total in growing(log_probabilities, num_orders, rng):
        if s == 0:
            counts[:] = 0
        counts[samples, votes[member]] += 1
        tied = counts == counts.max(axis=1, keepdims=True)
        voted = np.where(tied, total, -1.0).argmax(axis=1)
        accuracies["mean_prediction"][o, s] = (total.argmax(axis=1) == labels).mean()
        accuracies["majority_vote"][o, s] = (voted == labels).mean()
    return accuracies


def scores_by_size(
    log_probabilities: NDArray[np.float32], labels: Ints, num_orders: int, rng: np.random.Generator
) -> dict[str, Floats]:
    """Calibration error and both areas of random subsets of every size (Sonthalia et al., Fig. 5).

    Args:
        log_probabilities: (M, N, K).
        labels: (N,).
        num_orders: random orders of the members.
        rng: draws the orders.

    Returns:
        Score of `SCORES_BY_SIZE` -> (num_orders, M), column s - 1 for s members.
    """
    num_members, num_samples, _ = log_probabilities.shape
    found = {name: np.zeros((num_orders, num_members)) for name in SCORES_BY_SIZE}
    once = np.ones((1, num_samples))
    for o, s, _, total in growing(log_probabilities, num_orders, rng):
        probabilities = total / (s + 1)
        confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
        found["ece"][o, s] = weighted_ece(confidence, correct, once)[0]
        found["auroc_max_probability"][o, s] = weighted_auroc(confidence, correct, once)[0]
        found["auroc_entropy"][o, s] = weighted_auroc(-entropy(probabilities), correct, once)[0]
    return found
