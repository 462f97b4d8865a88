"""Measures how often two members of an ensemble are both wrong: wrong agreement and wrong disagreement."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class PairShares:
    """Shares of pairs of members, of each sample (N,).

    Attributes:
        wrong_agreement: pairs that agree and are wrong (WA).
        wrong_disagreement: pairs that differ and are both wrong (WD as in the worked example of Hepburn et al.).
        wrong_disagreement_printed: pairs that differ, half for each of the two that is wrong (WD as in the formula).
    """

    wrong_agreement: Floats
    wrong_disagreement: Floats
    wrong_disagreement_printed: Floats


def pair_shares(votes: Ints, labels: Ints, num_classes: int) -> PairShares:
    """Compute wrong agreement and disagreement of every sample (Hepburn et al., Appendix E).

    From the number of members that choose each class: c members on one wrong class are C(c, 2) pairs
    that agree and are wrong, w wrong members are C(w, 2) pairs that are both wrong. No loop over pairs:
    O(M N + N K) instead of O(M^2 N). The means over samples are WA and WD.

    Args:
        votes: (M, N) chosen classes.
        labels: (N,) true classes.
        num_classes: K.

    Raises:
        ValueError: fewer than two members.
    """
    num_members, num_samples = votes.shape
    if num_members < 2:
        raise ValueError("agreement is between members: an ensemble needs at least two")
    cells = np.arange(num_samples) * num_classes + votes
    counts = np.bincount(cells.reshape(-1), minlength=num_samples * num_classes).reshape(num_samples, num_classes)
    counts[np.arange(num_samples), labels] = 0
    wrong = counts.sum(axis=1)
    agree = (counts * (counts - 1) // 2).sum(axis=1)
    both_wrong = wrong * (wrong - 1) // 2
    num_pairs = num_members * (num_members - 1) / 2
    return PairShares(
        wrong_agreement=agree / num_pairs,
        wrong_disagreement=(both_wrong - agree) / num_pairs,
        # A wrong member stands in M - 1 pairs with weight 1/2; the pairs that agree are taken out again.
        wrong_disagreement_printed=((num_members - 1) * wrong / 2 - agree) / num_pairs,
    )
