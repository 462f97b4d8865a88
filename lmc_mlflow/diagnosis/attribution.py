"""Finds which remedies a barrier needs, and what each of them takes away."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lmc_mlflow.diagnosis.remedies import Chosen
from lmc_mlflow.diagnosis.treated_paths import interval
from lmc_mlflow.paths.barriers import Values

LEAST_SHARE = 0.1
"""Of the barrier: what explains less is no cause, unless it is as large as a barrier that breaks a connection."""
HeightUnder = Callable[[Chosen], Values]
"""Remedies -> the number that is explained (1 + R,), on all images and on every resample."""


@dataclass(frozen=True)
class Attribution:
    """What remedies explain of a number.

    Attributes:
        explained: remedy that is needed -> what it takes away (1 + R,), in the order of applying them.
        remaining: the number under all of them (1 + R,).
    """

    explained: Mapping[str, Values]
    remaining: Values


def attribute(
    height: HeightUnder,
    is_enough: Callable[[Chosen], bool],
    remedies: Sequence[str],
    least: float,
    confidence: float,
) -> Attribution:
    """Drop remedies that are not needed, one after the other, and apply the others in the order that shows each best.

    A remedy is dropped where the others are enough, or where the number hardly rises without it. Beginning with all of
    them finds causes each of which holds the barrier up alone, which no remedy on its own would show. What each of the
    others explains is the step that it makes when they are applied one after the other, so that the parts add up; of
    all orders it is the one whose smallest step is largest.

    Args:
        height: measures; every set of remedies is asked for at most once.
        is_enough: whether the path counts as connected under remedies.
        remedies: that may be applied; of two that can be dropped the later one is.
        least: a rise of this size is enough, however large the number is.
        confidence: of the intervals, paired over the resamples.
    """
    cached = _cached(height)
    left = list(remedies)
    without = cached(frozenset())
    while left:
        for name in reversed(left):
            others = frozenset(left) - {name}
            rise = cached(others) - cached(frozenset(left))
            if is_enough(others) or not is_cause(rise, without, least, confidence):
                left.remove(name)
                break
        else:
            break
    orders = [_steps(cached, order) for order in itertools.permutations(left)]
    best = max(orders, key=lambda steps: min((float(step[0]) for step in steps.values()), default=0.0))
    return Attribution(best, cached(frozenset(left)))


def _steps(height: HeightUnder, order: Sequence[str]) -> dict[str, Values]:
    """What each remedy (1 + R,) takes away after those before it."""
    return {name: height(frozenset(order[:i])) - height(frozenset(order[: i + 1])) for i, name in enumerate(order)}


def is_cause(explained: Values, whole: Values, least: float, confidence: float) -> bool:
    """Judge whether a part (1 + R,) of a number (1 + R,) is surely above 0, and `least` or `LEAST_SHARE` of it."""
    low, _ = interval(explained, confidence)
    return bool(low > 0 and explained[0] >= min(least, LEAST_SHARE * whole[0]))


def _cached(height: HeightUnder) -> HeightUnder:
    found: dict[Chosen, Values] = {}

    def measured(chosen: Chosen) -> Values:
        if chosen not in found:
            found[chosen] = height(chosen)
        return found[chosen]

    return measured
