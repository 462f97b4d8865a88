"""Concludes which settings of a training change the error barrier, all else equal."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.findings.conditions import (
    CONDITIONS,
    COVARIATE,
    IMBALANCE,
    ORDER,
    counted,
    has_learnt,
    noise_source,
    per_seed,
    plain_rows,
)
from lmc_mlflow.findings.differences import RULE, difference, mean_text
from lmc_mlflow.findings.evidence import ComparisonCounts
from lmc_mlflow.findings.sentences import each_condition, markdown, rows_having
from lmc_mlflow.findings.thresholds import (
    CONNECTED_BELOW_PCT,
    EQUIVALENT_WITHIN,
    MIN_SEEDS_FOR_NO_DIFFERENCE,
    NEGLIGIBLE,
)

SETTINGS = ("batch_size", "lr", "optimizer", "momentum", "warmup_epochs", "clip_norm", "weight_decay", "schedule")
GRID = f"{RUN} sweep -P grid="
NEED = f"two batch sizes with two seeds each are needed: `{GRID}hepburn_against_altintas`"


NOTE = (
    f"{RULE} Up to {NEGLIGIBLE['error_barrier']:g} % it is not counted. No difference: two one-sided t tests leave out "
    f"differences of {EQUIVALENT_WITHIN['error_barrier']:g} %, with {MIN_SEEDS_FOR_NO_DIFFERENCE} seeds or more; where "
    "neither is so, a comparison is undecided."
)


def what_breaks(paths: pd.DataFrame) -> str:
    """Conclude which settings change the error barrier: Markdown, from `query.paths`.

    A setting's lowest and highest value are compared (names in alphabetical order), all else equal. Hepburn et al. say
    that batch size decides under data shifts; Altintas et al. that it does not where only the order of the images
    differs. Networks that have not learnt (`conditions.has_learnt`) are left out.
    """
    rows = rows_having(
        plain_rows(paths), "test/error_barrier", "same_initialization", "side_a", "side_b", "shift", "noise"
    )
    rows = rows[rows["same_initialization"].astype(bool) & (rows["side_a"] != rows["side_b"])]
    rows = rows[has_learnt(rows, "test/path_accuracy")]
    sources = [noise_source(shift, noise) for shift, noise in rows[["shift", "noise"]].to_numpy()]
    rows = rows.assign(source=pd.Series(sources, rows.index, dtype=str), percent=100 * rows["test/error_barrier"])
    heads = [_by_source(rows, ORDER, False), *(_by_source(rows, s, True) for s in (COVARIATE, IMBALANCE))]
    lines = [line for setting in SETTINGS if setting in rows for line in _lines(rows, setting)]
    return markdown(heads, lines, NOTE)


def _by_source(rows: pd.DataFrame, source: str, lowers: bool) -> str:
    counts = ComparisonCounts()
    for _, _, first, last in _lowest_and_highest(rows[rows["source"] == source], "batch_size"):
        found = difference(first, last)
        lower = found.direction(NEGLIGIBLE["error_barrier"])
        counts.add(lower if lowers else found.no_difference(EQUIVALENT_WITHIN["error_barrier"]))
    if lowers:
        return counts.verdict(f"Under {source} a larger batch_size lowers the error barrier", NEED)
    return counts.verdict("Under other orders alone batch_size leaves the error barrier as it is", NEED)


def _lines(rows: pd.DataFrame, setting: str) -> Iterator[str]:
    for source, part in rows.groupby("source", sort=True):
        lower = higher = same = undecided = flips = 0
        example = ""
        for label, ends, first, last in _lowest_and_highest(part, setting):
            found = difference(first, last)
            way = found.direction(NEGLIGIBLE["error_barrier"])
            if way is None:
                continue
            none = not way and found.no_difference(EQUIVALENT_WITHIN["error_barrier"]) == 1
            lower, higher, same = lower + (way == 1), higher + (way == -1), same + none
            undecided += not way and not none
            flips += (first.mean() < CONNECTED_BELOW_PCT) != (last.mean() < CONNECTED_BELOW_PCT)
            low, high = (f"{value:g}" if isinstance(value, int | float) else str(value) for value in ends)
            example = example or f"; {label}: {low} {mean_text(first, 2, ' %')}, {high} {mean_text(last, 2, ' %')}"
        if number := lower + higher + same + undecided:
            yield (
                f"- {setting}, {source}, {counted(number, 'comparison')}: the highest value lowers the error barrier "
                f"in {lower}, raises it in {higher}, no difference in {same}, undecided in {undecided}; on another "
                f"side of {CONNECTED_BELOW_PCT:g} % in {flips}{example}"
            )


def _lowest_and_highest(rows: pd.DataFrame, setting: str) -> Iterator[tuple[str, tuple[Any, Any], Any, Any]]:
    """Yield a condition, lowest and highest value of a setting, and the error barriers by seed at both."""
    if setting not in rows:
        return
    for label, part in each_condition(rows, [name for name in CONDITIONS if name != setting]):
        values = sorted(part[setting].dropna().unique())
        if len(values) > 1:
            ends = values[0], values[-1]
            first, last = (per_seed(part[part[setting] == value], "percent") for value in ends)
            yield label, ends, first, last
