"""Tells pairs that start at random and part at once from those with a starting point."""

from typing import Any

import pandas as pd

STARTS = ("start_digest", "freeze", "shared_epochs", "perturb")
"""Settings of a starting point, each empty or 0 where pairs start at random and part at once."""


def has_start(frame: pd.DataFrame) -> "pd.Series[bool]":
    """Tell which rows of a table of `query` are of pairs that do not start at random, or do not part at once."""
    found = pd.Series(False, index=frame.index)
    for name in STARTS:
        if name in frame:
            found |= ~frame[name].map(_is_plain).astype(bool)
    return found


def _is_plain(value: Any) -> bool:
    return value is None or value != value or value in ("", 0, ()) or str(value) in ("0", "")
