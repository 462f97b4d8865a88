"""What does an ensemble predict? Votes, averaged probabilities, averaged log-probabilities."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def majority_vote(votes: Ints, mean_probabilities: Floats) -> Ints:
    """The class that most members choose; a tie goes to the class with the higher mean probability among the tied.

    Args:
        votes: (M, N) chosen classes.
        mean_probabilities: (N, K).
    """
    num_samples, num_classes = mean_probabilities.shape
    cells = np.arange(num_samples) * num_classes + votes
    counts = np.bincount(cells.reshape(-1), minlength=num_samples * num_classes).reshape(num_samples, num_classes)
    tied = counts == counts.max(axis=1, keepdims=True)
    chosen: Ints = np.where(tied, mean_probabilities, -1.0).argmax(axis=1)
    return chosen


def mean_probabilities(log_probabilities: NDArray[np.float32]) -> Floats:
    """Averaged probabilities (N, K) of members' log-probabilities (M, N, K)."""
    total = np.zeros(log_probabilities.shape[1:])
    for member in log_probabilities:  # one member at a time: M copies in double precision would not fit
        total += np.exp(member.astype(np.float64))
    return total / len(log_probabilities)


def accuracy_by_size(
    log_probabilities: NDArray[np.float32], labels: Ints, num_orders: int, rng: np.random.Generator
) -> dict[str, Floats]:
    """Accuracy of random subsets of every size: method -> (num_orders, M), column s - 1 for s members.

    Each order of the members gives one subset of every size, so that a cumulative sum serves them all.

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
    for o in range(num_orders):
        total, counts = np.zeros(log_probabilities.shape[1:]), np.zeros(log_probabilities.shape[1:])
        for s, member in enumerate(rng.permutation(num_members)):
            total += np.exp(log_probabilities[member].astype(np.float64))
            counts[samples, votes[member]] += 1
            tied = counts == counts.max(axis=1, keepdims=True)
            voted = np.where(tied, total, -1.0).argmax(axis=1)
            accuracies["mean_prediction"][o, s] = (total.argmax(axis=1) == labels).mean()
            accuracies["majority_vote"][o, s] = (voted == labels).mean()
    return accuracies
