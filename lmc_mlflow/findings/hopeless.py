"""Tells which pairs in training will hardly end connected, and tries that rule on the pairs of the store first."""

from collections.abc import Collection
from dataclasses import dataclass, field

import pandas as pd

from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.findings.forecast import CONNECTED, Forecast, forecast
from lmc_mlflow.findings.thresholds import CONFIDENCE
from lmc_mlflow.query.tables import pairs as read_pairs

HOPELESS_BELOW = 0.05
"""A pair whose forecast probability of ending connected is below this is hopeless."""
FEWEST_TRIED = 20
"""The rule is used where it would have stopped at least so many pairs of the store whose verdict is known."""


@dataclass(frozen=True)
class Hopeless:
    """What the rule says, and what it would have said of pairs whose verdict is known.

    Attributes:
        is_active: whether pairs may be stopped by it.
        why: the grounds, or what is missing.
        reasons: run id of a pair that is asked for and hopeless -> why; empty where the rule is not active.
    """

    is_active: bool
    why: str
    reasons: dict[str, str] = field(default_factory=dict)


def hopeless(asked: Collection[str], epoch: int, uri: str | None = None) -> Hopeless:
    """Say which pairs in training will hardly end connected, after as many epochs.

    The rule is used where `query.forecast` has grounds, where it would have stopped `FEWEST_TRIED` pairs of the store
    whose verdict is known, each forecast without its own condition, and where none of these has ended connected.

    Args:
        asked: run ids of pairs that have trained for as many epochs.
        epoch: counted from 1.
        uri: of the tracking server; None: MLflow's own settings.
    """
    found = forecast(read_pairs(finished=False, uri=uri), epoch, uri)
    why_not = _why_not(found)
    if why_not:
        return Hopeless(False, why_not)
    tried, _ = _tried(found)
    bound = 1 - (1 - CONFIDENCE) ** (1 / tried)
    why = (
        f"after epoch {epoch} it would have stopped {counted(tried, 'pair')} of the {found.num_pairs} whose verdict is "
        f"known, and none of these ended connected (so at most {bound:.0%} of such pairs do, with {CONFIDENCE:.0%} "
        "confidence)"
    )
    rows = found.frame[found.frame["run_id"].isin(list(asked)) & (found.frame["connected"] == "")]
    below = rows[rows["probability"] < HOPELESS_BELOW]
    reasons = {
        run_id: f"forecast after epoch {epoch}: probability of ending connected {probability:.3f}; {why}"
        for run_id, probability in zip(below["run_id"], below["probability"], strict=True)
    }
    return Hopeless(True, why, reasons)


def _why_not(found: Forecast) -> str:
    """Say why the rule is not used; empty where it is."""
    if found.area != found.area:
        return found.text
    tried, wrong = _tried(found)
    if wrong:
        return (
            f"after epoch {found.epoch} it would have stopped {counted(tried, 'pair')} whose verdict is known, of "
            f"which {wrong} ended connected"
        )
    if tried < FEWEST_TRIED:
        return (
            f"after epoch {found.epoch} it would have stopped {counted(tried, 'pair')} whose verdict is known; "
            f"{FEWEST_TRIED} are needed to rely on it"
        )
    return ""


def _tried(found: Forecast) -> tuple[int, int]:
    """Count the pairs with a verdict that the rule would have stopped, and those of them that ended connected."""
    stopped: pd.DataFrame = found.frame[
        (found.frame["connected"] != "") & (found.frame["probability"] < HOPELESS_BELOW)
    ]
    return len(stopped), int((stopped["connected"] == CONNECTED).sum())
