"""Decides whether a trained network is a star: low segments, and as accurate as the networks that it joins."""

from collections.abc import Sequence


def verdict(
    barriers: Sequence[float],
    accuracy: float,
    others: Sequence[float],
    barrier_threshold: float,
    accuracy_threshold: float,
) -> str:
    """Judge a network: `yes`, or `no:` with the reasons: `barrier`, `its own accuracy`, or both.

    Low segments are not enough. A network far above its neighbours' loss has no barrier over the chord to any of them,
    because the loss falls all the way: a published star is 4.4 points worse than the networks it joins, at a
    barrier of 0.000.

    Args:
        barriers: over the chord, to every network held out or, where there is none, to every source. The largest
            decides, because a star is connected to all.
        accuracy: of the star, a fraction.
        others: accuracies of the networks at the other ends, fractions.
        barrier_threshold: in nats.
        accuracy_threshold: how far below their mean the star may be.
    """
    reasons = []
    if max(barriers) > barrier_threshold:
        reasons.append("barrier")
    if accuracy < sum(others) / len(others) - accuracy_threshold:
        reasons.append("its own accuracy")
    return f"no: {' and '.join(reasons)}" if reasons else "yes"
