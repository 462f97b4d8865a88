"""What a store holds, by condition: pairs with their accuracy, paths with their verdicts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from lmc_mlflow.config.curve import SEGMENT
from lmc_mlflow.config.train_pair import ELSEWHERE
from lmc_mlflow.findings.condition_table import with_columns
from lmc_mlflow.findings.conditions import CONDITIONS, counted, describe, distinguishing, per_seed
from lmc_mlflow.findings.sentences import ALWAYS, measured_last, rows_having

OF_A_PAIR = "both sides of a pair"
STAR = "a star and another network"
_ASIDE = ("same_initialization", "sides", "align", "path", "sampling", "num_members")
"""Settings that `between` and `alignment` say."""
VERDICTS = ("yes", "apparent", "no")


@dataclass(frozen=True)
class PathCondition:
    """Paths of one condition.

    Attributes:
        label: data set, network, shift, and every other setting in which conditions differ.
        between: which two networks a path joins, and whether B's units were exchanged or the path is a curve.
        paths: columns `barrier` (in basin, nats), `delta` (percentage points) and those of `query.paths`.
    """

    label: str
    between: str
    paths: pd.DataFrame

    def count(self, verdict: str) -> int:
        """Return how many paths have a verdict."""
        return int((self.paths["connected"] == verdict).sum())

    @property
    def num_seeds(self) -> int:
        """Return how many seeds, or pairs of seeds, the paths have."""
        return len(per_seed(self.paths, "barrier"))

    @property
    def verdict(self) -> str:
        """Return `connected`, `not connected`, or `mixed`."""
        if self.count("yes") == len(self.paths):
            return "connected"
        return "not connected" if self.count("yes") == 0 else "mixed"

    @property
    def connected_text(self) -> str:
        """Write how many paths are connected, and how many in appearance only."""
        apparent = self.count("apparent")
        text = f"{self.count('yes')} of {len(self.paths)} connected"
        return text + (f", {apparent} apparent" if apparent else "")


def path_conditions(paths: pd.DataFrame) -> list[PathCondition]:
    """Group paths by condition, those within pairs first; aligned paths, curves and plain paths never share one.

    Args:
        paths: from `query.paths`.
    """
    rows = rows_having(paths, "connected", "test/barrier_in_basin")
    if rows.empty:
        return []
    rows = measured_last(rows)
    rows = with_columns(rows.sort_values("run_id"), ("pair", "align", "path", "side_a", "side_b"))
    rows = rows.assign(barrier=rows["test/barrier_in_basin"], delta=_delta(rows), between=_between(rows))
    found = [
        PathCondition(label, str(part["between"].iloc[0]), part)
        for label, part in _each(rows, ["between"], [name for name in CONDITIONS if name not in _ASIDE])
    ]
    return sorted(found, key=lambda one: (not one.between.startswith(OF_A_PAIR), one.between))


def pair_conditions(pairs: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Group finished pairs by condition: a label and the rows of each.

    Args:
        pairs: from `query.pairs`.
    """
    rows = pairs[pairs["status"] == "FINISHED"] if "status" in pairs else pairs
    return list(_each(rows, [], CONDITIONS)) if len(rows) else []


def summary(pairs: pd.DataFrame, conditions: Sequence[PathCondition]) -> str:
    """Say in one or two sentences how many pairs and paths there are, and how many paths are connected."""
    num_pairs = sum(len(rows) for _, rows in pair_conditions(pairs))
    num_paths = sum(len(one.paths) for one in conditions)
    if not num_paths:
        return f"{counted(num_pairs, 'trained pair')}, no path measured yet."
    by_between: dict[str, list[PathCondition]] = {}
    for one in conditions:
        by_between.setdefault(one.between, []).append(one)
    parts = [
        f"{between}: **{sum(one.count('yes') for one in those)} of {sum(len(one.paths) for one in those)}** connected"
        for between, those in by_between.items()
    ]
    return f"{counted(num_pairs, 'trained pair')}, {counted(num_paths, 'path')}. Paths between {'; '.join(parts)}."


def _each(rows: pd.DataFrame, first: list[str], names: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    always = [name for name in ALWAYS if name in rows]
    kept = always + distinguishing(rows, [name for name in names if name not in always], [*first, *always])
    for key, part in rows.groupby([*first, *kept], dropna=False, sort=True):
        words = list(filter(None, map(describe, kept, key[len(first) :])))
        if "loop" in part and part["loop"].iloc[0] == ELSEWHERE:
            words.append("trained elsewhere")
        elif "epochs" in part and "epochs" not in kept:
            words.append(describe("epochs", part["epochs"].iloc[0]))
        yield ", ".join(words), part


def _between(rows: pd.DataFrame) -> "pd.Series[str]":
    """Write which networks each path joins."""
    ends = pd.Series("two networks of different initializations", index=rows.index)
    if "same_initialization" in rows:
        ends = ends.mask(rows["same_initialization"].astype(bool), "two networks of one initialization")
    ends = ends.mask((rows["pair"] != "") & (rows["side_a"] != rows["side_b"]), OF_A_PAIR)
    if "joins_star" in rows:
        ends = ends.mask(rows["joins_star"].astype(bool), STAR)
    aligned = rows["align"].replace("", "none").fillna("none")
    ends = ends.where(aligned == "none", ends + ", aligned by " + aligned)
    form = rows["path"].replace("", SEGMENT).fillna(SEGMENT)
    return ends.where(form == SEGMENT, ends + ", along a " + form + " curve")


def _delta(rows: pd.DataFrame) -> "pd.Series[float]":
    """Return accuracy deltas in percentage points; of average precision where there is no accuracy."""
    found = pd.Series(float("nan"), index=rows.index)
    for score in ("accuracy", "average_precision"):
        column = f"test/{score}_delta"
        found = found.fillna(100 * rows[column]) if column in rows else found
    return found
