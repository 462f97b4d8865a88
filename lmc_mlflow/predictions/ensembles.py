"""Scores an ensemble: every score by its logged name, with bootstrap intervals over test samples."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from lmc_mlflow.predictions.agreement import pair_shares
from lmc_mlflow.predictions.calibration import (
    entropy,
    mutual_information,
    weighted_ace,
    weighted_aurc,
    weighted_auroc,
    weighted_ece,
)
from lmc_mlflow.predictions.combination import check_predictions, majority_vote, mean_probabilities
from lmc_mlflow.predictions.scores import check_outputs

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
RESAMPLES_AT_ONCE = 64
CHECKED = 1000
"""Samples of each member that are looked at to tell log-probabilities from logits."""


@dataclass(frozen=True)
class Interval:
    """A score and the ends of its bootstrap interval."""

    value: float
    low: float
    high: float


def score_ensemble(
    log_probabilities: NDArray[np.float32],
    labels: Ints,
    num_resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> dict[str, Interval]:
    """Compute every score of an ensemble, under its logged name.

    `nll`, `brier`, `ece`, `ace`, `aurc` and both AUROCs are of the averaged probabilities. `nll` averages them as
    logarithms: it has no upper limit, and is infinite where every member gives the label the probability 0. `brier` is
    the squared distance from the one-hot label, summed over classes. The AUROCs separate correct from wrong predictions
    by the highest probability and by (minus) the entropy.

    Args:
        log_probabilities: (M, N, K) of M >= 2 members.
        labels: (N,).
        num_resamples: bootstrap resamples of the test samples; 0: the interval is the value.
        confidence: share of the resamples inside the interval (percentiles).
        rng: draws the resamples.

    Raises:
        ValueError: fewer than two members, no sample, or a member whose outputs are no log-probabilities.
    """
    check_predictions(log_probabilities, least_members=2)
    for member in log_probabilities[:, :CHECKED]:
        check_outputs(torch.from_numpy(member), torch.from_numpy(labels[:CHECKED]))
    means, ranked = _per_sample(log_probabilities, labels)
    return bootstrap(partial(_weighted, means, ranked), len(labels), num_resamples, confidence, rng)


def bootstrap(
    weighted: Callable[[Floats], dict[str, Floats]],
    num_samples: int,
    num_resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> dict[str, Interval]:
    """Compute scores and the percentiles of their resamples.

    Args:
        weighted: weights (R, N), how often each resample holds each sample -> score -> (R,).
        num_samples: N.
        num_resamples: as in `score_ensemble`.
        confidence: as in `score_ensemble`.
        rng: draws the resamples.
    """
    plain = weighted(np.ones((1, num_samples)))
    resampled: dict[str, list[Floats]] = {name: [] for name in plain}
    for start in range(0, num_resamples, RESAMPLES_AT_ONCE):
        rows = min(RESAMPLES_AT_ONCE, num_resamples - start)
        drawn = rng.integers(0, num_samples, size=(rows, num_samples)) + num_samples * np.arange(rows)[:, None]
        weights = np.bincount(drawn.reshape(-1), minlength=rows * num_samples).reshape(rows, num_samples)
        for name, values in weighted(weights.astype(np.float64)).items():
            resampled[name].append(values)
    scores = {}
    for name, (value,) in plain.items():
        low = high = value
        if resampled[name] and np.isfinite(value):
            ends = [(1 - confidence) / 2, (1 + confidence) / 2]
            low, high = np.nanquantile(np.concatenate(resampled[name]), ends)
        scores[name] = Interval(float(value), float(low), float(high))
    return scores


@dataclass(frozen=True)
class _Ranked:
    """Values of each sample (N,) for scores that are not means over samples."""

    confidence: Floats
    certainty: Floats
    correct: NDArray[np.bool_]


def _per_sample(log_probabilities: NDArray[np.float32], labels: Ints) -> tuple[dict[str, Floats], _Ranked]:
    num_samples, num_classes = log_probabilities.shape[1:]
    samples = np.arange(num_samples)
    votes = log_probabilities.argmax(axis=2)
    probabilities = mean_probabilities(log_probabilities)
    correct = probabilities.argmax(axis=1) == labels
    of_label = probabilities[samples, labels]
    shares = pair_shares(votes, labels, num_classes)
    means = {
        "wrong_agreement": shares.wrong_agreement,
        "wrong_disagreement": shares.wrong_disagreement,
        "wrong_disagreement_printed": shares.wrong_disagreement_printed,
        "majority_vote_accuracy": (majority_vote(votes, probabilities) == labels).astype(np.float64),
        "mean_prediction_accuracy": correct.astype(np.float64),
        "mean_log_prediction_accuracy": (
            log_probabilities.mean(axis=0, dtype=np.float64).argmax(axis=1) == labels
        ).astype(np.float64),
        "member_accuracy": (votes == labels).mean(axis=0),
        "nll": np.log(len(votes)) - np.logaddexp.reduce(log_probabilities[:, samples, labels].astype(np.float64)),
        "brier": (probabilities**2).sum(axis=1) - 2 * of_label + 1,
        "mutual_information": mutual_information(log_probabilities, probabilities),
    }
    return means, _Ranked(probabilities.max(axis=1), -entropy(probabilities), correct)


def _weighted(means: dict[str, Floats], ranked: _Ranked, weights: Floats) -> dict[str, Floats]:
    with np.errstate(invalid="ignore"):  # an infinite nll that a resample leaves out
        averaged = weights @ np.stack(list(means.values()), axis=1) / weights.sum(axis=1, keepdims=True)
    scores = dict(zip(means, averaged.T, strict=True))
    scores["ece"] = weighted_ece(ranked.confidence, ranked.correct, weights)
    scores["ace"] = weighted_ace(ranked.confidence, ranked.correct, weights)
    scores["aurc"] = weighted_aurc(ranked.confidence, ranked.correct, weights)
    scores["auroc_max_probability"] = weighted_auroc(ranked.confidence, ranked.correct, weights)
    scores["auroc_entropy"] = weighted_auroc(ranked.certainty, ranked.correct, weights)
    return scores
