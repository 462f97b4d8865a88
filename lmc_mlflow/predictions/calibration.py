"""Measures calibration and uncertainty: calibration errors, AUROC, area of risk and coverage, mutual information."""

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
    return _mean_gap(bins, confidence, correct, weights, num_bins)


def weighted_ace(confidence: Floats, correct: Bools, weights: Floats, num_bins: int = NUM_BINS) -> Floats:
    """Compute the adaptive calibration error: as `weighted_ece`, over bins of equally many samples (Nixon et al.).

    The bins are those of all samples, in every resample; where samples are fewer than bins, each has one of its own.
    Arguments and result as in `weighted_ece`.
    """
    order = np.argsort(confidence, kind="stable")
    bins = np.empty(len(confidence), dtype=np.int64)
    for number, part in enumerate(np.array_split(order, num_bins)):
        bins[part] = number
    return _mean_gap(bins, confidence, correct, weights, num_bins)


def _mean_gap(bins: NDArray[np.int64], confidence: Floats, correct: Bools, weights: Floats, num_bins: int) -> Floats:
    """Average the gap of confidence and accuracy over bins, by how many samples each holds."""
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


def weighted_aurc(score: Floats, correct: Bools, weights: Floats) -> Floats:
    """Compute the area under the curve of risk against coverage (Geifman and El-Yaniv, 2017).

    The mean, over k = 1 to N, of the error rate among the k predictions that are trusted most; ties in the order of the
    samples. Arguments as in `weighted_auroc`, the weights whole numbers; the result is (R,).
    """
    order = np.argsort(-score, kind="stable")
    wrong = (~correct[order]).astype(np.float64)
    counts = weights[:, order].astype(np.int64)
    areas = np.empty(len(weights))
    for row, own in enumerate(counts):
        drawn = np.repeat(wrong, own)
        areas[row] = (np.cumsum(drawn) / np.arange(1, len(drawn) + 1)).mean()
    return areas


def mutual_information(log_probabilities: NDArray[np.float32], mean_probabilities: Floats) -> Floats:
    """Compute what the members disagree about, in nats (N,): entropy of the mean minus mean of the entropies.

    Args:
        log_probabilities: (M, N, K) of M members.
        mean_probabilities: (N, K) their mean.
    """
    own = sum(entropy(np.exp(member.astype(np.float64))) for member in log_probabilities) / len(log_probabilities)
    return np.maximum(entropy(mean_probabilities) - own, 0.0)


def entropy(probabilities: Floats) -> Floats:
    """Compute the entropy in nats of each row of (N, K) probabilities.

    The terms are added from the lowest probability to the highest: rows with the same probabilities for other classes
    have the same entropy to the last bit, so that a ranking sees them as a tie.
    """
    ordered = np.sort(probabilities, axis=1)
    safe = np.where(ordered > 0, ordered, 1.0)
    total: Floats = -(ordered * np.log(safe)).sum(axis=1)
    return total
