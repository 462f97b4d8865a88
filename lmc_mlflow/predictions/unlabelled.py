"""Estimates the accuracy of networks on images without labels, from how often the networks agree."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def pairwise_agreement(votes: Ints) -> Floats:
    """Compute the share of samples on which two networks choose the same class, for every two of them.

    Args:
        votes: (M, N) chosen classes.

    Returns:
        (M (M - 1) / 2,) in the order (0, 1), (0, 2), ..., (M - 2, M - 1).
    """
    return np.concatenate([(votes[i + 1 :] == votes[i]).mean(axis=1) for i in range(len(votes))])


def accuracy_by_agreement(votes: Ints) -> float:
    """Estimate the mean accuracy of networks by their mean agreement, without any label.

    Generalization Disagreement Equality (Jiang et al. 2022): two networks of one architecture that were trained with
    other random numbers differ on as many samples as one of them gets wrong, if their ensemble is calibrated. Points
    of one path are more alike than that, and agree more often than they are right.

    Args:
        votes: (M, N) of M >= 2 networks.
    """
    return float(pairwise_agreement(votes).mean())


def accuracy_on_the_line(votes: Ints, known_votes: Ints, known_labels: Ints) -> float:
    """Estimate the mean accuracy of networks on images without labels, from other images with labels.

    Agreement on the line (Baek et al. 2022, ALine-S): on the probit scale, agreements on both kinds of images lie on a
    line, and accuracies lie on the same line, which is fitted to the agreements of all pairs of networks.

    Args:
        votes: (M, N) on the images without labels.
        known_votes: (M, L) on those with labels.
        known_labels: (L,).

    Returns:
        A fraction; nan for fewer than three networks, or where all agree equally often on the images with labels.
    """
    from scipy.special import ndtr, ndtri

    def probit(shares: Floats, number: int) -> Floats:
        found: Floats = ndtri(np.clip(shares, 0.5 / number, 1 - 0.5 / number))
        return found

    x = probit(pairwise_agreement(known_votes), known_votes.shape[1])
    y = probit(pairwise_agreement(votes), votes.shape[1])
    if len(votes) < 3 or np.ptp(x) < 1e-9:
        return float("nan")
    slope, offset = np.polyfit(x, y, 1)
    accuracies = probit((known_votes == known_labels).mean(axis=1), known_votes.shape[1])
    return float(ndtr(slope * accuracies + offset).mean())
