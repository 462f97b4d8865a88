"""Gives every split of a path its color, line, marker and label."""

from collections.abc import Iterable
from typing import Any

from lmc_mlflow.plots.style import LINES, MARKERS, SPLIT_LABELS, SPLIT_STYLES

OTHER_COLORS = ("#b5367a", "#2a8f8f", "#8c6d1f", "#6b6b6b", "#a33c2c", "#3d6fd1")
"""Of test sets beside the logged one."""


def split_styles(splits: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Give every split its color, line, marker and label; further test sets get theirs in the order they come in."""
    found: dict[str, dict[str, Any]] = {}
    for split in dict.fromkeys(splits):
        number = len([name for name in found if name not in SPLIT_STYLES])
        other = {
            "color": OTHER_COLORS[number % len(OTHER_COLORS)],
            "linestyle": LINES[(1 + number) % len(LINES)],
            "marker": MARKERS[(4 + number) % len(MARKERS)],
        }
        found[split] = {**SPLIT_STYLES.get(split, other), "label": SPLIT_LABELS.get(split, split)}
    return found
