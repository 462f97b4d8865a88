"""Measures calibration: expected calibration error, and AUROC of correct against wrong predictions."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
NUM_BINS = 15


def weighted_ece(confidence: Floats, correct: Bools, weights: Floats, num_bins: int = NUM_BINS) -> Floats:
    """Compute the expected calibration error: mean gap of confidence and accuracy over equally wide bins (Guo et al.).

    Args:
        confidence: (N,) highest probability of each prediction.
        correct: (N,) whether it is right.
        weights: (R, N) how often each resample holds each sample; a row of ones is the plain error.
        num_bins: bins over [0, 1]; a bin holds its upper edge.

    Returns:
        (R,).
    """
    bins = np.clip(np.ceil(confidence * num_bins).astype(np.int64) - 1, 0, num_bins - 1)
    gaps = np.zeros((len(confidence), num_bins))
    gaps[np.arange(len(confidence)), bins] = confidence - correct
    total: Floats = np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1)
    return total


def weighted_auroc(score: Floats, correct: Bools, weights: Floats) -> Floats:
    """Compute the AUROC: the probability that a correct prediction scores above a wrong one, ties counted half.

    Args:
        score: (N,) higher for predictions that are trusted more.
        correct: (N,).
        weights: (R, N) how often each resample holds each sample.

    Returns:
        (R,); NaN where all predictions are correct, or all wrong, or there are none.
    """
    if not len(score):
        return np.full(len(weights), np.nan)
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) != 0])
    right = np.add.reduceat(weights[:, order] * correct[order], starts, axis=1)
    wrong = np.add.reduceat(weights[:, order] * ~correct[order], starts, axis=1)
    below = np.cumsum(wrong, axis=1) - wrong
    pairs = right.sum(axis=1) * wrong.sum(axis=1)
    with np.errstate(invalid="ignore"):
        area: Floats = (right * (below + wrong / 2)).sum(axis=1) / pairs
    return area


def entropy(probabilities: Floats) -> Floats:
    """Compute the entropy in nats of each row of (N, K) probabilities.

    The terms are added from the lowest probability to the highest: rows with the same probabilities for other classes
    have the same entropy to the last bit, so that a ranking sees them as a tie.
    """
    ordered = np.sort(probabilities, axis=1)
    safe = np.where(ordered > 0, ordered, 1.0)
    total: Floats = -(ordered * np.log(safe)).sum(axis=1)
    return total
