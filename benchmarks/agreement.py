"""Times wrong agreement and disagreement of an ensemble from class counts, against the loop over pairs of members."""

import itertools
from typing import Any

import numpy as np

from benchmarks.rounds import alternate
from lmc_mlflow.predictions.agreement import Ints, pair_shares

NUM_MEMBERS, NUM_SAMPLES, NUM_CLASSES = 100, 10_000, 10
NUM_ROUNDS = 3


def measure() -> list[dict[str, Any]]:
    """Return one row: the ratio of the times of both ways, and the largest difference of their results."""
    random = np.random.default_rng(0)
    labels = random.integers(0, NUM_CLASSES, NUM_SAMPLES)
    wrong = random.random((NUM_MEMBERS, NUM_SAMPLES)) < 0.4
    votes = np.where(wrong, random.integers(0, NUM_CLASSES, (NUM_MEMBERS, NUM_SAMPLES)), labels)

    def ours() -> tuple[float, float]:
        shares = pair_shares(votes, labels, NUM_CLASSES)
        return float(shares.wrong_agreement.mean()), float(shares.wrong_disagreement.mean())

    times = alternate({"pairs": lambda: _pair_loop(votes, labels), "counts": ours}, NUM_ROUNDS, warm_up=False)
    largest = max(abs(a - b) for a, b in zip(_pair_loop(votes, labels), ours(), strict=True))
    pairs, counts = times["pairs"], times["counts"]
    return [
        {
            "members": NUM_MEMBERS,
            "samples": NUM_SAMPLES,
            "ratio of minima": pairs.least / counts.least,
            "ratio of medians": pairs.median / counts.median,
            "largest difference": largest,
        }
    ]


def _pair_loop(votes: Ints, labels: Ints) -> tuple[float, float]:
    """Compute both shares by their definition, pair by pair."""
    agree, differ, num_pairs = 0.0, 0.0, 0
    for first, second in itertools.combinations(votes, 2):
        both_wrong = (first != labels) & (second != labels)
        agree += float((both_wrong & (first == second)).mean())
        differ += float((both_wrong & (first != second)).mean())
        num_pairs += 1
    return agree / num_pairs, differ / num_pairs
