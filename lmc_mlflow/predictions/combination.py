"""Combines the predictions of an ensemble's members: majority vote, averaged probabilities."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def check_predictions(log_probabilities: NDArray[np.float32], least_members: int = 1) -> None:
    """Check that there are members and test samples.

    Raises:
        ValueError: too few members, or no sample; names the shape.
    """
    num_members, num_samples = log_probabilities.shape[:2]
    if num_members < least_members or not num_samples:
        raise ValueError(
            f"predictions of {num_members} members on {num_samples} test samples: an ensemble needs at least "
            f"{least_members} {'member' if least_members == 1 else 'members'} and one sample"
        )


def majority_vote(votes: Ints, mean_probabilities: Floats) -> Ints:
    """Find the class that most members choose; a tie goes to the class with the higher mean probability.

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
    """Average the probabilities of members: (N, K) from log-probabilities (M, N, K).

    Raises:
        ValueError: there is no member, or no sample.
    """
    check_predictions(log_probabilities)
    total = np.zeros(log_probabilities.shape[1:])
    for member in log_probabilities:  # one member at a time: M copies in double precision would not fit
        total += np.exp(member.astype(np.float64))
    return total / len(log_probabilities)
