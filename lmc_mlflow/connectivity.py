"""What is connected to what, given the barrier between every two? Clusters, a tree of them, the best centre."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.config.choices import lookup

Barriers = NDArray[np.float64]
"""(N, N), symmetric, 0 on the diagonal; what is not a finite number counts as not connected."""


def clusters(barriers: Barriers, threshold: float, members: Sequence[int]) -> list[tuple[int, ...]]:
    """Connected components: whoever a chain of barriers up to the threshold joins; the largest first.

    Args:
        barriers: between all N.
        threshold: a barrier up to it connects two.
        members: those of the N that count; the others join nothing.
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
    """The member whose largest barrier to any other is least, and that barrier; None with fewer than two members."""
    if len(members) < 2:
        return None
    largest = {i: max(float(np.nan_to_num(barriers[i, j], nan=np.inf)) for j in members if j != i) for i in members}
    best = min(largest, key=lambda i: largest[i])
    return best, largest[best]


def tree(barriers: Barriers, linkage: str) -> NDArray[np.float64]:
    """Hierarchical clustering (N - 1, 4): in each row the two clusters that are joined, their distance, their size.

    The nearest two clusters are joined, again and again; numbers from N on are clusters that earlier rows made.
    This is the form that SciPy and seaborn draw. A barrier that is not a finite number counts as twice the largest
    that is (1 where there is none). Barriers are no metric: the triangle inequality need not hold, and average
    linkage does not need it.

    Args:
        barriers: between all N, N at least 2.
        linkage: what the distance between clusters is: a row of `LINKAGES`.
    """
    merge = lookup(LINKAGES, linkage, "linkage")
    num = len(barriers)
    distances = {(i, j): value for i, row in enumerate(_finite(barriers)) for j, value in enumerate(row) if i < j}
    sizes, rows = dict.fromkeys(range(num), 1), []
    for new in range(num, 2 * num - 1):
        i, j = min(distances, key=lambda pair: (distances[pair], pair))
        rows.append((i, j, distances.pop((i, j)), sizes[i] + sizes[j]))
        for k in (k for k in sizes if k not in (i, j)):
            to_i, to_j = distances.pop(_ordered(i, k)), distances.pop(_ordered(j, k))
            distances[k, new] = merge(to_i, to_j, sizes[i], sizes[j])
        sizes[new] = sizes.pop(i) + sizes.pop(j)
    return np.array(rows, dtype=float)


def _ordered(i: int, j: int) -> tuple[int, int]:
    return (i, j) if i < j else (j, i)


def _finite(barriers: Barriers) -> Barriers:
    known = barriers[np.isfinite(barriers)]
    far = 2 * float(known.max(initial=0.0)) or 1.0
    return np.where(np.isfinite(barriers), barriers, far)


Merge = Callable[[float, float, int, int], float]
"""Distance to a cluster, from those to its two parts and their sizes (Lance and Williams)."""
LINKAGES: Mapping[str, Merge] = {
    "average": lambda to_i, to_j, num_i, num_j: (num_i * to_i + num_j * to_j) / (num_i + num_j),
    "single": lambda to_i, to_j, _num_i, _num_j: min(to_i, to_j),
    "complete": lambda to_i, to_j, _num_i, _num_j: max(to_i, to_j),
}


def is_constant(accuracy: float, labels: NDArray[np.int64]) -> bool:
    """Whether an accuracy is no better than always naming the largest class: up to two standard errors above it.

    Args:
        accuracy: of a network, a fraction.
        labels: (N,) class indices that it was measured on.
    """
    share = float(np.bincount(labels).max() / len(labels))
    return accuracy <= share + 2 * float(np.sqrt(share * (1 - share) / len(labels)))
