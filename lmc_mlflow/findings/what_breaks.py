"""What breaks connectivity? Each setting of a training held against the error barrier, all else equal. Markdown."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from lmc_mlflow.findings.conditions import (
    CONDITIONS,
    CONNECTED_BELOW_PCT,
    COVARIATE,
    IMBALANCE,
    ORDER,
    counted,
    has_learnt,
    noise_source,
    per_seed,
)
from lmc_mlflow.findings.sentences import each_condition, markdown, rows_having
from lmc_mlflow.findings.tally import (
    RULE,
    Tally,
    difference,
    direction,
    spread,
)

SETTINGS = ("batch_size", "lr", "optimizer", "momentum", "warmup_epochs", "clip_norm", "weight_decay", "schedule")
GRID = "mlflow run . --env-manager local -e sweep -P grid="
NEED = f"two batch sizes with two seeds each are needed: `{GRID}hepburn_against_altintas`"
_FLOOR = 0.5
"""Percent of error: a smaller difference is of no consequence, however certain."""


def what_breaks(paths: pd.DataFrame) -> str:
    """Which settings change the error barrier, and where does batch size? Markdown, from `query.paths`.

    A setting's lowest and highest value are compared (names in the order of the alphabet), all else equal. Hepburn
    et al. say of batch size that it decides, under data shifts; Altintas et al. that it does not, under other orders.
    Networks that have not learnt (`conditions.has_learnt`) are left out.
    """
    rows = rows_having(paths, "test/error_barrier", "same_initialization", "side_a", "side_b", "shift", "noise")
    rows = rows[rows["same_initialization"].astype(bool) & (rows["side_a"] != rows["side_b"])]
    rows = rows[has_learnt(rows, "test/path_accuracy")]
    sources = [noise_source(shift, noise) for shift, noise in rows[["shift", "noise"]].to_numpy()]
    rows = rows.assign(source=pd.Series(sources, rows.index, dtype=str), percent=100 * rows["test/error_barrier"])
    heads = [_by_source(rows, ORDER, False), *(_by_source(rows, s, True) for s in (COVARIATE, IMBALANCE))]
    lines = [line for setting in SETTINGS if setting in rows for line in _lines(rows, setting)]
    return markdown(heads, lines, f"{RULE} Below {_FLOOR:g} % it counts for nothing.")


def _by_source(rows: pd.DataFrame, source: str, lowers: bool) -> str:
    tally = Tally()
    for _, _, first, last in _ends(rows[rows["source"] == source], "batch_size"):
        way = _way(first, last)
        if way is not None:
            tally.supporting += way == 1 if lowers else way == 0
            tally.contradicting += way == -1 if lowers else way != 0
            tally.undecided += way == 0 if lowers else 0
    if lowers:
        return tally.verdict(f"Under {source} a larger batch_size lowers the error barrier", NEED)
    return tally.verdict("Under other orders alone batch_size leaves the error barrier as it is", NEED)


def _lines(rows: pd.DataFrame, setting: str) -> Iterator[str]:
    for source, part in rows.groupby("source", sort=True):
        lower = higher = same = flips = 0
        told = ""
        for label, places, first, last in _ends(part, setting):
            way = _way(first, last)
            if way is None:
                continue
            lower, higher, same = lower + (way == 1), higher + (way == -1), same + (way == 0)
            flips += (first.mean() < CONNECTED_BELOW_PCT) != (last.mean() < CONNECTED_BELOW_PCT)
            values = [f"{value:g}" if isinstance(value, int | float) else str(value) for value in places]
            told = told or (f"; {label}: {values[0]} {spread(first, 2, ' %')}, {values[1]} {spread(last, 2, ' %')}")
        if lower + higher + same:
            yield (
                f"- {setting}, {source}, {counted(lower + higher + same, 'comparison')}: the highest value lowers the "
                f"error barrier in {lower}, raises it in {higher}, no difference in {same}; on another side of "
                f"{CONNECTED_BELOW_PCT:g} % in {flips}{told}"
            )


def _ends(rows: pd.DataFrame, setting: str) -> Iterator[tuple[str, tuple[Any, Any], Any, Any]]:
    """Condition, lowest and highest value of a setting, and the error barriers by seed at both."""
    if setting not in rows:
        return
    for label, part in each_condition(rows, [name for name in CONDITIONS if name != setting]):
        places = sorted(part[setting].dropna().unique())
        if len(places) > 1:
            ends = places[0], places[-1]
            first, last = (per_seed(part[part[setting] == place], "percent") for place in ends)
            yield label, ends, first, last


def _way(first: Any, last: Any) -> int | None:
    change, error = difference(first, last)
    return direction(change, max(error, _FLOOR / 2) if error == error else error)
