"""Claims of Altintas et al., and those on which they and Hepburn et al. disagree."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from lmc_mlflow.findings.comparisons import describe_condition, equal_but_for, holds
from lmc_mlflow.findings.condition_table import key_text
from lmc_mlflow.findings.conditions import (
    COVARIATE,
    IMBALANCE,
    ORDER,
    noise_source,
)
from lmc_mlflow.findings.evidence import Claim, ConditionTables, Evidence
from lmc_mlflow.findings.families import is_minimal, linear_layers
from lmc_mlflow.papers.altintas.head_to_head import batch_size_comparisons, changes
from lmc_mlflow.papers.commands import sweep_command

DEEP, HIGH_ADAM = 4, 0.005
"""Layers of a deep linear network; Adam's high rate (Tables 1 and 2)."""


def sgd_connects_linear_networks(tables: ConditionTables) -> Evidence:
    """Collect evidence from linear networks of any depth trained by SGD."""
    rows = _ordered(tables)
    return _all_hold(rows[_are(rows, linear_layers) & (rows["optimizer"] == "sgd")])


def adam_breaks_deep_linear_networks(tables: ConditionTables) -> Evidence:
    """Collect evidence from linear networks of four and more layers at Adam's high rate."""
    rows = _ordered(tables)
    deep = rows["model"].map(lambda model: linear_layers(model) >= DEEP).astype(bool)
    return _some_break(rows[deep & _high_adam(rows)])


def logistic_regression_connects(tables: ConditionTables) -> Evidence:
    """Collect evidence from logistic regressions of two initializations."""
    rows = tables.enough_errors
    return _all_hold(rows[(rows["model"].map(linear_layers) == 1) & (rows["init"] == "different")])


def sgd_connects_the_minimal_model(tables: ConditionTables) -> Evidence:
    """Collect evidence from networks with one hidden layer trained by SGD."""
    rows = _ordered(tables)
    return _all_hold(rows[_are(rows, is_minimal) & (rows["optimizer"] == "sgd")])


def adam_breaks_the_minimal_model(tables: ConditionTables) -> Evidence:
    """Collect evidence from networks with one hidden layer at Adam's high rate, without warm-up."""
    rows = _ordered(tables)
    cold = rows["warmup_epochs"].map(key_text).isin(["0", ""])
    return _some_break(rows[_are(rows, is_minimal) & _high_adam(rows) & cold])


def brings_back(tables: ConditionTables, setting: str) -> Evidence:
    """Collect evidence that conditions that do not hold without a setting hold with it, all else equal.

    Args:
        tables: whose conditions are compared.
        setting: a parameter whose 0 means without it.
    """
    evidence = Evidence()
    for part in equal_but_for(_ordered(tables), (setting,)):
        off = part[part[setting].map(key_text) == "0"]
        for _, tried in part[part[setting].map(key_text) != "0"].iterrows():
            if len(off) and holds(off.iloc[0]) is False:
                kept = holds(tried)
                text = f"{_label(tried, (setting,))}: {setting} {key_text(tried[setting])}: {_number(tried)}, "
                text += f"without {_number(off.iloc[0])}"
                ids = (*off.iloc[0]["run_ids"], *tried["run_ids"])
                evidence.add(0 if kept is None else 1 if kept else -1, text, ids)
    return evidence


def does_not_decide(tables: ConditionTables, setting: str) -> Evidence:
    """Collect evidence that both ends of a setting have the same verdict, all else equal, under other orders alone.

    Args:
        tables: whose conditions are compared.
        setting: a parameter.
    """
    evidence = Evidence()
    for part in equal_but_for(_ordered(tables), (setting,)):
        keyed = part.assign(_key=part[setting].map(key_text)).sort_values([setting])
        first, last = keyed.iloc[0], keyed.iloc[-1]
        if first["_key"] != last["_key"]:
            held = [holds(first), holds(last)]
            way = 0 if None in held else 1 if held[0] == held[1] else -1
            text = f"{_label(first, (setting,))}: {setting} {first['_key']}: {_number(first)}, {last['_key']}: "
            evidence.add(way, text + _number(last), (*first["run_ids"], *last["run_ids"]))
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
            way = by_loss if decides else _none(by_error)
            name, unit, measure = ("barrier", " nats", "barrier") if decides else ("error barrier", " %", "test")
            numbers = [
                f"B {key_text(row['batch_size'])}: {name} {row[measure]:.3g} ± {row[f'{measure}_sd']:.2g}{unit}"
                for row in (small, large)
            ]
            text = f"{_label(small, ('batch_size',))}: {', '.join(numbers)} (n = {min(small['n'], large['n'])})"
            evidence.add(way, text, (*small["run_ids"], *large["run_ids"]))
    return evidence


def _none(way: int | None) -> int | None:
    return None if way is None else 1 if way == 0 else -1


def _ordered(tables: ConditionTables) -> pd.DataFrame:
    """Select the conditions of this paper: one initialization, all images for both networks, different orders."""
    rows = tables.enough_errors
    sources = [noise_source(shift, noise) for shift, noise in rows[["shift", "noise"]].to_numpy()]
    return rows[(pd.Series(sources, rows.index, dtype=str) == ORDER) & (rows["init"] == "same")]


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
        evidence.add(ways_of[holds(row)], f"{_label(row, ())}: {_number(row)}", row["run_ids"])
    return evidence


def _label(row: Any, leave_out: Sequence[str]) -> str:
    extra = [f"{row['optimizer']}"] if key_text(row["optimizer"]) else []
    extra += [f"warmup {key_text(row['warmup_epochs'])}"] if key_text(row["warmup_epochs"]) not in ("", "0") else []
    extra += ["two initializations"] if row["init"] == "different" else []
    return " ".join([describe_condition(row, leave_out), *extra])


def _number(row: Any) -> str:
    spread = f" ± {row['test_sd']:.2f}" if row["test_sd"] == row["test_sd"] else ""
    return f"error barrier {row['test']:.2f}{spread} % (n = {row['n']})"


def _claim(name: str, sentence: str, judge: Callable[[ConditionTables], Evidence], table: str) -> Claim:
    return Claim(name, sentence, judge, f"`{sweep_command(table)}`")


_BACK = "brings the connection back that one hidden layer or linear layers lose without it"
_SAME = "makes no difference to the verdict at an error barrier of 2 %, the order being the only noise"
ALTINTAS_CLAIMS = (
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
        _claim(name, f"{words} {_SAME}", functools.partial(does_not_decide, setting=setting), "interventions")
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
            ("D-H-a", "Head to head: under other orders alone batch size leaves the error barrier (D)", ORDER, False),
            ("D-H-b", "Head to head: under a covariate shift larger batches lower the barrier (H)", COVARIATE, True),
            ("D-H-c", "Head to head: under label imbalance larger batches lower the barrier (H)", IMBALANCE, True),
        )
    ),
)
