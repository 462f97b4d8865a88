"""Measures how different the two sides are: a classifier two-sample test, and the divergence of their labels."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lmc_mlflow.seeds import derive_seed

Indices = NDArray[np.int64]

MIN_SAMPLES = 50
"""Of both sides together; on fewer the interval says nothing."""
NUM_FOLDS = 5
NUM_TREES = 100
NUM_RESAMPLES = 1000
POOLED_SIZE = 4
CHUNK_VALUES = 2**17


@dataclass(frozen=True)
class SideSample:
    """Images of one side: numbers (N, C, H, W); labels (N,) or multi-hot (N, K); samples (N,), the training sample
    each image shows (the same on both sides: the same scene)."""

    images: NDArray[Any]
    labels: NDArray[Any]
    samples: Indices

    def take(self, positions: Indices) -> "SideSample":
        """Return the images at these positions."""
        return SideSample(self.images[positions], self.labels[positions], self.samples[positions])


@dataclass(frozen=True)
class TwoSample:
    """How often the classifier names the right side (0.5: no shift; 1: never wrong), and the 95 % interval of that."""

    accuracy: float
    low: float
    high: float
    num_samples: int


def choose(
    labels_a: NDArray[Any],
    labels_b: NDArray[Any],
    samples_a: Indices,
    samples_b: Indices,
    num_samples: int,
    seed: int,
) -> tuple[Indices, Indices]:
    """Choose positions into both sides, as many of each class on either, so that the class does not tell the side.

    A class contributes in proportion to what its scarcer side holds. Chosen are the samples that come first in
    one shuffle of the ids of both sides: where the sides hold the same ids, the same are chosen.

    Args:
        labels_a: (N,) classes or (N, K) multi-hot; multi-hot labels are not balanced.
        labels_b: the same of side B.
        samples_a: (N,) ids of the training samples.
        samples_b: the same of side B.
        num_samples: at most so many in all, half of them of each side.
        seed: of the shuffle.
    """
    ids = np.unique(np.concatenate([samples_a, samples_b]))
    rank = np.random.default_rng(derive_seed(seed, "two_sample/choose")).permutation(len(ids))
    first_a, first_b = (np.argsort(rank[np.searchsorted(ids, s)], kind="stable") for s in (samples_a, samples_b))
    strata_a, strata_b = _strata(labels_a)[first_a], _strata(labels_b)[first_b]
    classes = np.intersect1d(strata_a, strata_b)
    held = np.array([min((strata_a == c).sum(), (strata_b == c).sum()) for c in classes], dtype=np.int64)
    budget = min(num_samples // 2, int(held.sum()))
    # Differences of a rounded running sum: they add up to the budget and none is more than what is held.
    quotas = np.diff(held.cumsum() * budget // max(1, held.sum()), prepend=0)

    def chosen(strata: Indices, first: Indices) -> Indices:
        parts = [first[strata == c][:quota] for c, quota in zip(classes, quotas, strict=True)]
        return np.concatenate([*parts, np.empty(0, dtype=np.int64)])

    return chosen(strata_a, first_a), chosen(strata_b, first_b)


def two_sample(side_a: SideSample, side_b: SideSample, seed: int) -> TwoSample | None:
    """Run the classifier two-sample test (Lopez-Paz & Oquab 2017) between chosen images of both sides.

    Out-of-fold accuracy of a forest of randomized trees that is told an image's coarse pixels, its statistics
    and its class. All images of one sample are in one fold: else the forest recognizes the twin of a test image
    from the other side and answers wrongly. The interval resamples samples, not images. Folds share what they
    are trained on, which no resampling of answers sees: over 360 splits of digits without a shift 0.5 lay in
    nine of ten intervals.

    Args:
        side_a: as chosen by `choose`: as many of each class as of side B.
        side_b: the same of side B.
        seed: of folds, trees and resampling.

    Returns:
        None if there are fewer than 50 images in all, or fewer than 25 samples.

    Raises:
        ValueError: the sides differ in the shape of their images, or in their numbers of a class.
    """
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.model_selection import PredefinedSplit, cross_val_predict

    shapes = [side.images.shape[1:] for side in (side_a, side_b)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"two-sample test: images of side A are {shapes[0]}, of side B {shapes[1]}")
    strata_a, strata_b = _strata(side_a.labels), _strata(side_b.labels)
    if not np.array_equal(np.sort(strata_a), np.sort(strata_b)):
        raise ValueError("two-sample test: the sides hold different numbers of a class; choose(...) balances them")
    strata = np.concatenate([strata_a, strata_b])
    side = np.repeat([0, 1], [len(strata_a), len(strata_b)])
    _, groups = np.unique(np.concatenate([side_a.samples, side_b.samples]), return_inverse=True)
    if len(side) < MIN_SAMPLES or groups.max() + 1 < MIN_SAMPLES // 2:
        return None
    features = np.concatenate([_features(side_a.images), _features(side_b.images)])
    features = np.hstack([features, strata[:, None] == np.unique(strata)])
    forest = ExtraTreesClassifier(NUM_TREES, n_jobs=1, random_state=derive_seed(seed, "two_sample/forest") % 2**32)
    folds = PredefinedSplit(_folds(strata, side, groups, seed))
    correct = cross_val_predict(forest, features, side, cv=folds, n_jobs=1) == side
    low, high = _interval(correct, groups, seed)
    return TwoSample(float(correct.mean()), low, high, len(side))


def label_divergence(labels_a: NDArray[Any], labels_b: NDArray[Any], num_classes: int) -> float:
    """Compute the Jensen-Shannon divergence, in bits, of the sides' class distributions: 0 if equal, 1 if disjoint.

    Of multi-hot labels (N, K) the mean over classes of the divergence between having the class and not having it.
    """
    if labels_a.ndim == 2:
        prevalence_a, prevalence_b = labels_a.mean(axis=0), labels_b.mean(axis=0)
        a, b = (np.stack([prevalence, 1 - prevalence]) for prevalence in (prevalence_a, prevalence_b))
    else:
        a, b = (np.bincount(labels, minlength=num_classes) / len(labels) for labels in (labels_a, labels_b))
    divergence = _entropy((a + b) / 2) - (_entropy(a) + _entropy(b)) / 2
    return float(np.clip(divergence, 0, 1).mean())


def _entropy(distribution: NDArray[Any]) -> NDArray[np.float64]:
    """In bits, along the first axis."""
    impossible = distribution <= 0
    bits: NDArray[np.float64] = -np.sum(distribution * np.log2(np.where(impossible, 1, distribution)), axis=0)
    return bits


def _strata(labels: NDArray[Any]) -> Indices:
    """Classes, and one stratum for all multi-hot labels."""
    return np.zeros(len(labels), dtype=np.int64) if labels.ndim == 2 else labels.astype(np.int64)


def _folds(strata: Indices, side: Indices, groups: Indices, seed: int) -> Indices:
    """Fold of each image: groups whole and, within every fold, as many of each class from side A as from side B.

    Were side B the rarer in a fold, it would be the commoner in what is trained on, and a forest that knows
    nothing would fall below 0.5. So the groups seen by A alone, by B alone and by both are dealt out class by
    class, each kind in turn from the same fold on; the first fold differs from class to class, or it would get
    every odd one.
    """
    num_groups = groups.max() + 1
    seen_by = np.zeros(num_groups, dtype=np.int64)
    np.bitwise_or.at(seen_by, groups, side + 1)
    stratum = np.zeros(num_groups, dtype=np.int64)
    stratum[groups] = strata
    shuffled = np.random.default_rng(derive_seed(seed, "two_sample/folds")).permutation(num_groups)
    folds = np.empty(num_groups, dtype=np.int64)
    for first_fold, c in enumerate(np.unique(stratum)):
        for seen in (1, 2, 3):
            dealt = shuffled[(stratum[shuffled] == c) & (seen_by[shuffled] == seen)]
            folds[dealt] = (first_fold + np.arange(len(dealt))) % NUM_FOLDS
    return folds[groups]


def _features(images: NDArray[Any]) -> NDArray[np.float64]:
    """(N, F), a few images at a time: a dozen arrays of their size are needed on the way."""
    step = max(1, CHUNK_VALUES // math.prod(images.shape[1:]))
    return np.concatenate([_features_at_once(images[i : i + step]) for i in range(0, len(images), step)])


def _features_at_once(images: NDArray[Any]) -> NDArray[np.float64]:
    """(N, F): of each channel coarse pixels, which see content, colour and light, and statistics of steps and
    curvatures between neighbours, which see blur, noise and compression.

    A drawing's strokes differ more from image to image than slight blur changes them, so statistics stand
    beside their ratios, where the image's own contrast cancels, and beside their extremes.
    """
    x = images.astype(np.float64)
    height, width = (min(size, POOLED_SIZE) for size in x.shape[2:])
    pooled = functional.adaptive_avg_pool2d(torch.from_numpy(x), (height, width)).numpy()
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")  # so that images of any size have differences
    left, right = wide[..., 1:-1, :-2], wide[..., 1:-1, 2:]
    above, below = wide[..., :-2, 1:-1], wide[..., 2:, 1:-1]
    steps = [np.abs(right - x), np.abs(below - x)]
    curvatures = [np.abs(left + right - 2 * x), np.abs(above + below - 2 * x)]
    laplacian = np.abs(left + right + above + below - 4 * x)
    textures = np.stack([*steps, *curvatures, laplacian])
    image = (-2, -1)
    mean, deviation = textures.mean(axis=image), x.std(axis=image)
    statistics = [
        *(x.mean(axis=image), deviation, x.min(axis=image), x.max(axis=image)),
        *(*mean, *textures.max(axis=image), *(textures[:2] == 0).mean(axis=image)),
        *(*_ratio(mean, deviation), *_ratio(mean[2:4], mean[:2])),
    ]
    return np.hstack([pooled.reshape(len(x), -1), *statistics])


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 / 0, of a constant image, is 0."""
    ratio: NDArray[np.float64] = above / np.where(below > 0, below, 1)
    return ratio


def _interval(correct: NDArray[np.bool_], groups: Indices, seed: int) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile of the accuracy over resamples of whole groups."""
    sizes, hits = np.bincount(groups), np.bincount(groups, weights=correct)
    rng = np.random.default_rng(derive_seed(seed, "two_sample/bootstrap"))
    drawn = rng.integers(len(sizes), size=(NUM_RESAMPLES, len(sizes)))
    low, high = np.percentile(hits[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), [2.5, 97.5])
    return float(low), float(high)
