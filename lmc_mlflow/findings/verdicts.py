"""Decides by majority over seeds whether the pairs of a configuration are connected."""

from collections.abc import Collection

CONNECTED, NOT_CONNECTED, UNDECIDED = "connected", "not connected", "undecided"
YES = "yes"
"""The verdict of a path that counts as connected; `no` and `apparent` do not."""
OPEN = "undecided"
"""The verdict by interval of a path whose interval lies on both sides of a threshold."""


def majority(verdicts: Collection[tuple[str, str]]) -> str:
    """Decide whether pairs are connected, from their verdicts.

    More than half of all pairs must have a verdict that their intervals confirm; otherwise it is undecided.

    Args:
        verdicts: of each pair that was measured, and the same by interval, empty where it was measured without.

    Returns:
        `connected`, `not connected` or `undecided`; empty where no pair was measured.
    """
    certain = [verdict == YES for verdict, by_interval in verdicts if by_interval != OPEN]
    for is_connected, word in ((True, CONNECTED), (False, NOT_CONNECTED)):
        if 2 * certain.count(is_connected) > len(verdicts):
            return word
    return UNDECIDED if verdicts else ""
