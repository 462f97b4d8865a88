"""Finds clusters, their tree and the best star candidate among networks from the barriers between every two."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Barriers = NDArray[np.float64]
"""(N, N), symmetric, 0 on the diagonal; a number that is not finite counts as not connected."""


def clusters(barriers: Barriers, threshold: float, members: Sequence[int]) -> list[tuple[int, ...]]:
    """Find connected components: networks that a chain of barriers up to the threshold joins; the largest first.

    Args:
        barriers: between all N.
        threshold: a barrier up to it connects two.
        members: those of the N that are considered.
    """
    waiting, found = list(members), []
    while waiting:
        component, front = [], [waiting.pop(0)]
        while front:
            here = front.pop()
            component.append(here)
            near = [other for other in waiting if barriers[here, other] <= threshold]
            waiting = [other for other in waiting if other not in near]
            front += near
        found.append(tuple(sorted(component)))
    return sorted(found, key=lambda component: (-len(component), component))


def star_candidate(barriers: Barriers, members: Sequence[int]) -> tuple[int, float] | None:
    """Find the member whose largest barrier to any other is least, and that barrier; None of fewer than two members."""
    if len(members) < 2:
        return None
    largest = {i: max(float(np.nan_to_num(barriers[i, j], nan=np.inf)) for j in members if j != i) for i in members}
    best = min(largest, key=lambda i: largest[i])
    return best, largest[best]


def tree(barriers: Barriers, linkage: str) -> NDArray[np.float64]:
    """Cluster hierarchically (N - 1, 4): in each row the two clusters that are joined, their distance, their size.

    Numbers from N on are clusters of earlier rows: SciPy's form, which seaborn draws. A barrier that is not finite
    counts as twice the largest that is (1 where there is none). Barriers are no metric: the triangle inequality need
    not hold, and average linkage does not need it.

    Args:
        barriers: between all N, N at least 2.
        linkage: what the distance between clusters is, in SciPy's words: `average`, `single`, `complete`.
    """
    from scipy.cluster import hierarchy  # slow imports that few commands need
    from scipy.spatial.distance import squareform

    rows: NDArray[np.float64] = hierarchy.linkage(squareform(_finite(barriers)), method=linkage)
    return rows


def _finite(barriers: Barriers) -> Barriers:
    known = barriers[np.isfinite(barriers)]
    far = 2 * float(known.max(initial=0.0)) or 1.0
    return np.where(np.isfinite(barriers), barriers, far)


def is_constant(accuracy: float, labels: NDArray[np.int64]) -> bool:
    """Tell whether an accuracy is no better than that of the largest class: up to two standard errors above it.

    Args:
        accuracy: of a network, a fraction.
        labels: (N,) class indices that it was measured on.
    """
    share = float(np.bincount(labels).max() / len(labels))
    return accuracy <= share + 2 * float(np.sqrt(share * (1 - share) / len(labels)))
