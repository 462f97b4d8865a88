"""Scores an averaged prediction before and after its softmax temperature is chosen on other samples (Guo et al.)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lmc_mlflow.predictions.calibration import weighted_ece
from lmc_mlflow.predictions.combination import mean_probabilities
from lmc_mlflow.predictions.temperature import best_temperature

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
BEFORE, AFTER = "_uncalibrated", "_calibrated"
"""Ends of the names of scores, both of the samples that the temperature has not seen."""


@dataclass(frozen=True)
class ScaledPrediction:
    """An averaged prediction on the samples that its temperature was not chosen by.

    Attributes:
        temperature: above 1 where the prediction was too sure.
        num_samples: that are scored.
        weighted: weights (R, num_samples) -> score -> (R,), as `ensembles.bootstrap` takes it.
    """

    temperature: float
    num_samples: int
    weighted: Callable[[Floats], dict[str, Floats]]


def scale_prediction(
    log_probabilities: NDArray[np.float32], labels: Ints, share: float, rng: np.random.Generator
) -> ScaledPrediction | None:
    """Choose the temperature of the averaged probabilities on a random share of the samples.

    The members are averaged first, and the average is calibrated (Rahaman and Thiery, 2021). The scores of the others
    are `nll`, `brier` and `ece`, with `_uncalibrated` and `_calibrated` at the end.

    Args:
        log_probabilities: (M, N, K).
        labels: (N,).
        share: of the samples that choose the temperature.
        rng: draws them.

    Returns:
        None where one of both parts would be empty.
    """
    num_samples = len(labels)
    num_chosen = round(share * num_samples)
    if not 0 < num_chosen < num_samples:
        return None
    order = rng.permutation(num_samples)
    chosen, others = np.sort(order[:num_chosen]), np.sort(order[num_chosen:])
    with np.errstate(divide="ignore"):
        logs = np.log(mean_probabilities(log_probabilities))
    found = best_temperature(torch.from_numpy(logs[chosen]), torch.from_numpy(labels[chosen]))
    truth = labels[others]
    before = _scores(logs[others], truth)
    after = _scores(_scaled(logs[others], found.temperature), truth)

    def weighted(weights: Floats) -> dict[str, Floats]:
        own = {f"{name}{BEFORE}": values for name, values in before(weights).items()}
        return own | {f"{name}{AFTER}": values for name, values in after(weights).items()}

    return ScaledPrediction(found.temperature, len(others), weighted)


def _scaled(logs: Floats, temperature: float) -> Floats:
    """Divide logarithms of probabilities (N, K) by the temperature, and normalize them again."""
    scaled = logs / temperature
    shifted = scaled - scaled.max(axis=1, keepdims=True)
    normalized: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normalized


def _scores(logs: Floats, labels: Ints) -> Callable[[Floats], dict[str, Floats]]:
    probabilities, samples = np.exp(logs), np.arange(len(labels))
    brier = (probabilities**2).sum(axis=1) - 2 * probabilities[samples, labels] + 1
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    means = np.stack([-logs[samples, labels], brier], axis=1)

    def weighted(weights: Floats) -> dict[str, Floats]:
        with np.errstate(invalid="ignore"):  # an infinite nll that a resample leaves out
            nll, squared = (weights @ means / weights.sum(axis=1, keepdims=True)).T
        if not np.isfinite(confidence).all():  # no temperature is best
            return {"nll": nll, "brier": squared, "ece": np.full(len(weights), np.nan)}
        return {"nll": nll, "brier": squared, "ece": weighted_ece(confidence, correct, weights)}

    return weighted
