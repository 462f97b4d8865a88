"""Computes bootstrap intervals over test samples of every barrier and delta of a path."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.paths.barriers import OF_ACCURACIES, OF_LOSSES, Values, summarize_rows
from lmc_mlflow.paths.samples import PathSamples
from lmc_mlflow.predictions.ensembles import Interval
from lmc_mlflow.seeds import derive_seed

VALUES_AT_ONCE = 2**22
"""Of the matrix of resamples: 32 MB."""
Intervals = Mapping[str, Interval]
"""Field of `PathSummary` -> value and interval."""


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are computed: number of resamples, share of them inside (percentiles), seed of the draws."""

    num_resamples: int
    confidence: float
    seed: int


def path_intervals(
    alphas: Values, samples: Mapping[str, PathSamples], bootstrap: Bootstrap
) -> dict[str, dict[str, Interval]]:
    """Compute split -> field of `PathSummary` -> interval; its ends are nan on a path with a loss that is not finite.

    A resample holds as many samples as the split, drawn with replacement, and they are the same at every alpha: what
    all points of a path have in common cancels in a barrier. Splits are drawn independently.

    Args:
        alphas: (T,).
        samples: split -> every sample at every alpha.
        bootstrap: with at least one resample.
    """
    curves = {split: resampled_curves(own, bootstrap, split) for split, own in samples.items()}
    found = {}
    for split, (losses, accuracies) in curves.items():
        test_accuracies = curves.get("test", curves[split])[1]
        rows = summarize_rows(alphas, losses, accuracies, test_accuracies)
        names = OF_LOSSES if samples[split].correct is None else (*OF_LOSSES, *OF_ACCURACIES)
        found[split] = {name: interval_of(rows[name], bootstrap.confidence) for name in names}
    return found


def interval_of(values: Values, confidence: float) -> Interval:
    """Give the first of the values (1 + R,), which is the split's own, and percentiles of the others."""
    own, resampled = float(values[0]), values[1:][~np.isnan(values[1:])]
    if not np.isfinite(own) or not len(resampled):
        return Interval(own, np.nan, np.nan)
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(own, float(low), float(high))


def resampled_curves(samples: PathSamples, bootstrap: Bootstrap, split: str) -> tuple[Values, Values]:
    """Compute mean losses and accuracies (1 + R, T) of a split itself and of every resample, which its name decides.

    The draws depend on seed, name and size of the split alone: two paths on one split meet the same resamples.
    Accuracies are nan with several labels an image.
    """
    num_points, num_samples = samples.losses.shape
    per_sample = [samples.losses] if samples.correct is None else [samples.losses, samples.correct]
    columns = np.ascontiguousarray(np.concatenate(per_sample).T, dtype=np.float64)
    rng = np.random.default_rng(derive_seed(bootstrap.seed, f"path/bootstrap/{split}"))
    rows_at_once = max(1, VALUES_AT_ONCE // num_samples)
    with np.errstate(invalid="ignore"):  # a loss that is not finite
        means = [columns.mean(axis=0, keepdims=True)]
    for start in range(0, bootstrap.num_resamples, rows_at_once):
        rows = min(rows_at_once, bootstrap.num_resamples - start)
        with np.errstate(invalid="ignore"):
            means.append(_counts(rng, rows, num_samples) @ columns / num_samples)
    both = np.concatenate(means)
    accuracies = both[:, num_points:] if samples.correct is not None else np.full((len(both), num_points), np.nan)
    return both[:, :num_points], accuracies


def _counts(rng: np.random.Generator, rows: int, num_samples: int) -> NDArray[np.float64]:
    """How often (rows, N) each resample holds each sample."""
    drawn = rng.integers(0, num_samples, size=(rows, num_samples))
    drawn += num_samples * np.arange(rows)[:, None]
    return np.bincount(drawn.reshape(-1), minlength=rows * num_samples).reshape(rows, num_samples).astype(np.float64)
