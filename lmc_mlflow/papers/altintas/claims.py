"""Claims of Altintas et al., and those on which they and Hepburn et al. disagree."""

import functools
from collections.abc import Callable
from typing import Any

import pandas as pd

from lmc_mlflow.findings.comparisons import (
    EPOCHS,
    contrast,
    describe_confound,
    describe_difference,
    describe_measures,
    ended_by,
    equal_but_for,
    estimate,
)
from lmc_mlflow.findings.condition_table import key_text
from lmc_mlflow.findings.conditions import (
    COVARIATE,
    IMBALANCE,
    ORDER,
)
from lmc_mlflow.findings.differences import Estimate, interval_text
from lmc_mlflow.findings.evidence import Claim, ConditionTables, Evidence
from lmc_mlflow.findings.families import is_minimal, linear_layers
from lmc_mlflow.findings.pair_measures import describe_shift
from lmc_mlflow.findings.thresholds import (
    CONFIDENCE,
    CONNECTED_BELOW_PCT,
    EQUIVALENT_WITHIN,
    MIN_SEEDS_FOR_NO_DIFFERENCE,
    NEGLIGIBLE,
)
from lmc_mlflow.papers.altintas.acceptance_claims import ACCEPTANCE_CLAIMS, label
from lmc_mlflow.papers.altintas.error_conditions import order_alone
from lmc_mlflow.papers.altintas.figure_claims import FIGURE_CLAIMS
from lmc_mlflow.papers.altintas.head_to_head import batch_size_comparisons, changes
from lmc_mlflow.papers.commands import sweep_command

DEEP, HIGH_ADAM = 4, 0.005
"""Layers of a deep linear network; Adam's high rate (Tables 1 and 2)."""
MARGIN = EQUIVALENT_WITHIN["error_barrier"]


def sgd_connects_linear_networks(tables: ConditionTables) -> Evidence:
    """Collect evidence from linear networks of any depth trained by SGD."""
    rows = order_alone(tables.enough_errors)
    return _all_hold(rows[_are(rows, linear_layers) & (rows["optimizer"] == "sgd")])


def adam_breaks_deep_linear_networks(tables: ConditionTables) -> Evidence:
    """Collect evidence from linear networks of four and more layers at Adam's high rate, without a remedy."""
    rows = _without_remedy(order_alone(tables.enough_errors))
    deep = rows["model"].map(lambda model: linear_layers(model) >= DEEP).astype(bool)
    return _some_break(rows[deep & _high_adam(rows)])


def logistic_regression_connects(tables: ConditionTables) -> Evidence:
    """Collect evidence from logistic regressions of two initializations."""
    rows = tables.enough_errors
    return _all_hold(rows[(rows["model"].map(linear_layers) == 1) & (rows["init"] == "different")])


def sgd_connects_the_minimal_model(tables: ConditionTables) -> Evidence:
    """Collect evidence from networks with one hidden layer trained by SGD."""
    rows = order_alone(tables.enough_errors)
    return _all_hold(rows[_are(rows, is_minimal) & (rows["optimizer"] == "sgd")])


def adam_breaks_the_minimal_model(tables: ConditionTables) -> Evidence:
    """Collect evidence from networks with one hidden layer at Adam's high rate, without a remedy."""
    rows = _without_remedy(order_alone(tables.enough_errors))
    return _some_break(rows[_are(rows, is_minimal) & _high_adam(rows)])


def _without_remedy(rows: pd.DataFrame) -> pd.DataFrame:
    """Select the conditions without what claims D-08c and D-10 call a remedy: warm-up and clipping."""
    off = [rows[name].map(key_text).isin(["0", ""]) for name in ("warmup_epochs", "clip_norm")]
    return rows[off[0] & off[1]]


def brings_back(tables: ConditionTables, setting: str) -> Evidence:
    """Collect evidence that conditions that do not hold without a setting hold with it, all else equal.

    Args:
        tables: whose conditions are compared.
        setting: a parameter whose 0 means without it.
    """
    evidence = Evidence()
    for part in equal_but_for(order_alone(tables.enough_errors), (setting,)):
        off = part[part[setting].map(key_text) == "0"]
        for _, tried in part[part[setting].map(key_text) != "0"].iterrows():
            if len(off) and connected(off.iloc[0]) is False:
                kept = connected(tried)
                text = f"{label(tried, (setting,))}: {setting} {key_text(tried[setting])}: {_number(tried)}, "
                text += f"without {_number(off.iloc[0])}"
                ids = (*off.iloc[0]["run_ids"], *tried["run_ids"])
                evidence.add(0 if kept is None else 1 if kept else -1, text, ids)
    return evidence


def makes_no_difference(tables: ConditionTables, setting: str) -> Evidence:
    """Collect evidence that both ends of a setting have the same error barrier, under other orders alone.

    Two one-sided tests with a margin decide it (`Estimate.no_difference`), for batch sizes at equal epochs only.

    Args:
        tables: whose conditions are compared, equal in all else.
        setting: a parameter.
    """
    evidence, rows = Evidence(), order_alone(tables.enough_errors)
    for part in equal_but_for(ended_by(rows, EPOCHS) if setting == "batch_size" else rows, (setting,)):
        keyed = part.assign(_key=part[setting].map(key_text)).sort_values([setting])
        first, last = keyed.iloc[0], keyed.iloc[-1]
        if first["_key"] != last["_key"]:
            found = contrast(first, last, "test")
            text = f"{label(first, (setting,))}: {setting} {first['_key']}: {_number(first)}, {last['_key']}: "
            text += f"{_number(last)}; {_no_difference_text(found)}"
            evidence.add(found.no_difference(MARGIN), text, (*first["run_ids"], *last["run_ids"]))
    return evidence


def batch_size_under(tables: ConditionTables, source: str, decides: bool) -> Evidence:
    """Collect evidence on what a larger batch does under one source of noise.

    Hepburn et al. claim that it lowers the loss barrier; Altintas et al. that it leaves the error barrier as it is.

    Args:
        tables: whose conditions are compared.
        source: one of `conditions.SOURCES`.
        decides: True: the claim of Hepburn et al.; False: that of Altintas et al.
    """
    evidence = Evidence()
    for found, small, large in batch_size_comparisons(tables.enough_errors):
        if found == source:
            by_error, by_loss = changes(small, large)
            way = by_loss.direction(NEGLIGIBLE["in_basin"]) if decides else by_error.no_difference(MARGIN)
            measure = "in_basin" if decides else "test"
            numbers = [f"B {key_text(row['batch_size'])}: {describe_measures(row, measure)}" for row in (small, large)]
            said = describe_difference(by_loss, "in_basin", NEGLIGIBLE["in_basin"]) if decides else ""
            text = f"{label(small, ('batch_size',))}: {', '.join(numbers)}; {said or _no_difference_text(by_error)}"
            text += f"; {describe_confound(small, large)}"
            text += f"; {describe_shift(large)}" if source != ORDER else ""
            evidence.add(way, text, (*small["run_ids"], *large["run_ids"]))
    return evidence


def connected(row: Any) -> bool | None:
    """Tell whether the error barrier of a condition is below 2 %; None where its interval crosses that."""
    side = estimate(row, "test").side(CONNECTED_BELOW_PCT)
    return None if not side else side == -1


def _no_difference_text(found: Estimate) -> str:
    low, high = found.interval(2 * CONFIDENCE - 1)
    return (
        f"{describe_difference(found, 'test', MARGIN)}, two one-sided tests {interval_text(low, high, 2)}, "
        f"{MIN_SEEDS_FOR_NO_DIFFERENCE} seeds needed"
    )


def _are(rows: pd.DataFrame, fact: Callable[[str], object]) -> "pd.Series[bool]":
    return rows["model"].map(fact).astype(bool)


def _high_adam(rows: pd.DataFrame) -> "pd.Series[bool]":
    return (rows["optimizer"] == "adam") & (pd.to_numeric(rows["lr"], errors="coerce") >= HIGH_ADAM)


def _all_hold(rows: pd.DataFrame) -> Evidence:
    return _judged(rows, "always", {True: 1, False: -1, None: 0})


def _some_break(rows: pd.DataFrame) -> Evidence:
    return _judged(rows, "can", {True: -1, False: 1, None: 0})


def _judged(rows: pd.DataFrame, kind: str, ways_of: dict[bool | None, int]) -> Evidence:
    evidence = Evidence(kind)
    for _, row in rows.iterrows():
        evidence.add(ways_of[connected(row)], f"{label(row, ())}: {_number(row)}", row["run_ids"])
    return evidence


def _number(row: Any) -> str:
    text = describe_measures(row, "test").replace(" ± nan [unknown]", "")
    return f"{text}, connected: below {CONNECTED_BELOW_PCT:g} %"


def _claim(name: str, sentence: str, judge: Callable[[ConditionTables], Evidence], table: str) -> Claim:
    return Claim(name, sentence, judge, f"`{sweep_command(table)}`")


_BACK = "brings the connection back that one hidden layer or linear layers lose without it"
_SAME = "makes no difference of 1 point to the error barrier, the order being the only noise"
ALTINTAS_CLAIMS = (
    *ACCEPTANCE_CLAIMS,
    *FIGURE_CLAIMS,
    _claim(
        "D-01a",
        "Linear networks of any depth stay connected under SGD",
        sgd_connects_linear_networks,
        "altintas_table_1",
    ),
    _claim(
        "D-01b",
        "Adam at its high rate can break linear networks of four and more layers",
        adam_breaks_deep_linear_networks,
        "altintas_table_1",
    ),
    _claim(
        "D-02",
        "Logistic regression stays connected even from two initializations",
        logistic_regression_connects,
        "logistic_regression",
    ),
    _claim("D-08a", "One hidden layer and SGD stay connected", sgd_connects_the_minimal_model, "altintas_table_2"),
    _claim(
        "D-08b",
        "Adam at its high rate can break the connection of one hidden layer",
        adam_breaks_the_minimal_model,
        "altintas_table_2",
    ),
    _claim("D-08c", f"Warm-up {_BACK}", functools.partial(brings_back, setting="warmup_epochs"), "altintas_table_2"),
    _claim("D-10", f"Gradient clipping {_BACK}", functools.partial(brings_back, setting="clip_norm"), "interventions"),
    *(
        _claim(name, f"{words} {_SAME}", functools.partial(makes_no_difference, setting=setting), "interventions")
        for name, words, setting in (
            ("D-11a", "Batch size", "batch_size"),
            ("D-11b", "Momentum", "momentum"),
            ("D-11c", "Weight decay", "weight_decay"),
            ("D-11d", "A cosine schedule", "schedule"),
        )
    ),
    *(
        _claim(name, sentence, functools.partial(batch_size_under, source=source, decides=decides), "head_to_head")
        for name, sentence, source, decides in (
            (
                "D-H-a",
                "Head to head: under other orders alone batch size leaves the error barrier to 1 point (D)",
                ORDER,
                False,
            ),
            ("D-H-b", "Head to head: under 50/50 halves larger batches lower the barrier (H)", COVARIATE, True),
            ("D-H-c", "Head to head: under label imbalance larger batches lower the barrier (H)", IMBALANCE, True),
        )
    ),
)
