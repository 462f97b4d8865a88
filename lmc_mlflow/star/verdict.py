"""Is it a star? Low segments are not enough: it must itself be as good as what it joins."""

from collections.abc import Sequence


def verdict(
    barriers: Sequence[float],
    accuracy: float,
    joined: Sequence[float],
    barrier_threshold: float,
    accuracy_threshold: float,
) -> str:
    """`yes`, or `no:` and what speaks against it: `barrier`, `its own accuracy`, or both.

    A network far above its neighbours' loss has no barrier over the chord to any of them, because the loss falls all
    the way: a published star is 4.4 points worse than the networks it joins, at a barrier of 0.000.

    Args:
        barriers: over the chord, to every network held out or, where there is none, to every source. The largest
            decides, because a star is connected to all.
        accuracy: of the star, a fraction.
        joined: accuracies of the networks at the other ends.
        barrier_threshold: in nats.
        accuracy_threshold: how far below their mean the star may be.
    """
    against = []
    if max(barriers) > barrier_threshold:
        against.append("barrier")
    if accuracy < sum(joined) / len(joined) - accuracy_threshold:
        against.append("its own accuracy")
    return f"no: {' and '.join(against)}" if against else "yes"
