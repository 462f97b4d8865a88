"""Predicts verdicts by logistic regression, and scores it on conditions that it has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from lmc_mlflow.findings.thresholds import CONFIDENCE
from lmc_mlflow.seeds import derive_seed

Numbers = NDArray[np.float64]
STRENGTHS = (0.01, 0.1, 1.0)
"""Inverse strengths of the penalty among which each fit chooses, by folds of its own conditions."""
NUM_FOLDS = 5
NUM_RESAMPLES = 1000
FEWEST_RESAMPLES = NUM_RESAMPLES // 2
"""With fewer resamples that have both verdicts there is no interval."""


@dataclass(frozen=True)
class Examples:
    """Pairs whose verdict is known.

    Attributes:
        facts: (N, F); NaN where a fact is not known.
        connected: (N,), whether the pair ended connected.
        conditions: (N,), the number of the condition that a pair belongs to.
    """

    facts: Numbers
    connected: NDArray[np.bool_]
    conditions: NDArray[np.int64]

    def take(self, rows: NDArray[Any]) -> "Examples":
        """Return those rows, given as positions or as a mask."""
        return Examples(self.facts[rows], self.connected[rows], self.conditions[rows])

    @property
    def has_both(self) -> bool:
        """Whether both verdicts occur."""
        return bool(self.connected.any()) and not bool(self.connected.all())


def log_odds(known: Examples, facts: Numbers) -> Numbers:
    """Predict the log odds of ending connected, as if both verdicts were equally frequent.

    Facts are standardized and missing ones replaced by the median of the known pairs. The verdicts are weighted to be
    equally frequent, because a condition that is left out would otherwise move the odds against its own verdict.

    Args:
        known: pairs with both verdicts.
        facts: (M, F), of the pairs that are predicted.

    Returns:
        (M,) log odds.
    """
    model = _fitted(known, _strength(known))
    scores: Numbers = model.decision_function(facts)
    return scores


def held_out_log_odds(known: Examples, facts: Numbers, conditions: NDArray[np.int64]) -> tuple[Numbers, Numbers]:
    """Predict pairs from the known pairs of all other conditions, whose own folds choose the penalty.

    Args:
        known: pairs whose verdict is known.
        facts: (M, F), of the pairs that are predicted, known ones too.
        conditions: (M,), of the same.

    Returns:
        (M,) log odds as of `log_odds`, and (M,) log odds of the frequencies of verdicts that they leave out; both are
        NaN where the other conditions have only one verdict.
    """
    odds, frequencies = np.full((2, len(facts)), np.nan)
    for condition in np.unique(conditions):
        own = conditions == condition
        others = known.take(known.conditions != condition)
        if others.has_both:
            odds[own] = log_odds(others, facts[own])
            share = others.connected.mean()
            frequencies[own] = np.log(share / (1 - share))
    return odds, frequencies


def area(scores: Numbers, connected: NDArray[np.bool_]) -> float:
    """Compute the area under the ROC curve: how often a connected pair has the higher score; ties count half.

    NaN where one verdict is missing.
    """
    positive, negative = scores[connected], np.sort(scores[~connected])
    if not len(positive) or not len(negative):
        return float("nan")
    below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
    return float(below.mean() / 2 / len(negative))


def area_interval(scores: Numbers, known: Examples) -> tuple[float, float]:
    """Compute the percentile interval of the area over resampled conditions, whose pairs are no independent ones.

    Args:
        scores: (N,), of the known pairs.
        known: those pairs.

    Returns:
        Both limits; NaN where too few resamples have both verdicts.
    """
    generator = np.random.default_rng(derive_seed(0, "forecast"))
    members = [np.flatnonzero(known.conditions == condition) for condition in np.unique(known.conditions)]
    areas = []
    for _ in range(NUM_RESAMPLES):
        chosen = np.concatenate([members[i] for i in generator.integers(len(members), size=len(members))])
        areas.append(area(scores[chosen], known.connected[chosen]))
    areas = [value for value in areas if value == value]
    if len(areas) < FEWEST_RESAMPLES:
        return float("nan"), float("nan")
    low, high = np.quantile(areas, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _fitted(known: Examples, strength: float) -> Pipeline:
    model = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(C=strength, class_weight="balanced", max_iter=1000),
    )
    return model.fit(known.facts, known.connected)


def _strength(known: Examples) -> float:
    """Choose the penalty by the mean log loss on folds of conditions; the strongest where there are too few."""
    num_conditions = len(np.unique(known.conditions))
    if num_conditions < 2:
        return STRENGTHS[0]
    folds = list(GroupKFold(min(NUM_FOLDS, num_conditions)).split(known.facts, known.connected, known.conditions))
    usable = [(train, test) for train, test in folds if known.take(train).has_both]
    losses = [_loss(known, usable, strength) for strength in STRENGTHS] if usable else [0.0]
    return STRENGTHS[int(np.argmin(losses))]


def _loss(known: Examples, folds: Sequence[tuple[Any, Any]], strength: float) -> float:
    losses = []
    for train, test in folds:
        probabilities = _fitted(known.take(train), strength).predict_proba(known.facts[test])[:, 1]
        losses.append(log_loss(known.connected[test], probabilities, labels=[False, True]))
    return float(np.mean(losses))
