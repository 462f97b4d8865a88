"""Which sentences of Altintas et al. are decided by runs, and where do they and Hepburn et al. disagree?"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from lmc_mlflow.findings.comparing import alike, holds, label
from lmc_mlflow.findings.condition_table import key_text
from lmc_mlflow.findings.conditions import (
    COVARIATE,
    IMBALANCE,
    ORDER,
    noise_source,
)
from lmc_mlflow.findings.evidence import Claim, Evidence, Store
from lmc_mlflow.papers.altintas.error_conditions import is_minimal, linear_layers
from lmc_mlflow.papers.altintas.head_to_head import comparisons, ways
from lmc_mlflow.papers.commands import sweep_command

DEEP, HIGH_ADAM = 4, 0.005
"""Layers of a deep linear network; Adam's high rate (Tables 1 and 2)."""


def sgd_connects_linear_networks(store: Store) -> Evidence:
    """Of linear networks of any depth, one initialization, other orders."""
    rows = _ordered(store)
    return _all_hold(rows[_are(rows, linear_layers) & (rows["optimizer"] == "sgd")])


def adam_breaks_deep_linear_networks(store: Store) -> Evidence:
    """Of linear networks of four and more layers at Adam's high rate."""
    rows = _ordered(store)
    deep = rows["model"].map(lambda model: linear_layers(model) >= DEEP).astype(bool)
    return _some_break(rows[deep & _high_adam(rows)])


def logistic_regression_connects(store: Store) -> Evidence:
    """Of logistic regressions from two initializations."""
    rows = store.enough_errors
    return _all_hold(rows[(rows["model"].map(linear_layers) == 1) & (rows["init"] == "different")])


def sgd_connects_the_minimal_model(store: Store) -> Evidence:
    """Of networks with one hidden layer."""
    rows = _ordered(store)
    return _all_hold(rows[_are(rows, is_minimal) & (rows["optimizer"] == "sgd")])


def adam_breaks_the_minimal_model(store: Store) -> Evidence:
    """Of networks with one hidden layer at Adam's high rate, from the first step on."""
    rows = _ordered(store)
    cold = rows["warmup_epochs"].map(key_text).isin(["0", ""])
    return _some_break(rows[_are(rows, is_minimal) & _high_adam(rows) & cold])


def brings_back(store: Store, setting: str) -> Evidence:
    """Of conditions that do not hold without a setting: do they with it, all else equal?

    Args:
        store: conditions.
        setting: a parameter whose 0 means without it.
    """
    evidence = Evidence()
    for part in alike(_ordered(store), (setting,)):
        off = part[part[setting].map(key_text) == "0"]
        for _, tried in part[part[setting].map(key_text) != "0"].iterrows():
            if len(off) and holds(off.iloc[0]) is False:
                kept = holds(tried)
                text = f"{_label(tried, (setting,))}: {setting} {key_text(tried[setting])}: {_number(tried)}, "
                text += f"without {_number(off.iloc[0])}"
                ids = (*off.iloc[0]["run_ids"], *tried["run_ids"])
                evidence.add(0 if kept is None else 1 if kept else -1, text, ids)
    return evidence


def does_not_decide(store: Store, setting: str) -> Evidence:
    """Is the verdict at both ends of a setting the same, all else equal, with the order as the only noise?

    Args:
        store: conditions.
        setting: a parameter.
    """
    evidence = Evidence()
    for part in alike(_ordered(store), (setting,)):
        keyed = part.assign(_key=part[setting].map(key_text)).sort_values([setting])
        first, last = keyed.iloc[0], keyed.iloc[-1]
        if first["_key"] != last["_key"]:
            held = [holds(first), holds(last)]
            way = 0 if None in held else 1 if held[0] == held[1] else -1
            text = f"{_label(first, (setting,))}: {setting} {first['_key']}: {_number(first)}, {last['_key']}: "
            evidence.add(way, text + _number(last), (*first["run_ids"], *last["run_ids"]))
    return evidence


def batch_size_under(store: Store, source: str, decides: bool) -> Evidence:
    """Does the larger batch have the lower barrier (Hepburn et al., loss), or is there no difference (Altintas, error)?

    Args:
        store: conditions.
        source: of the noise.
        decides: which of the two is claimed.
    """
    evidence = Evidence()
    for found, small, large in comparisons(store.enough_errors):
        if found == source:
            by_error, by_loss = ways(small, large)
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


def _ordered(store: Store) -> pd.DataFrame:
    """The conditions of this paper: one initialization, all images for both, other orders."""
    rows = store.enough_errors
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
    return " ".join([label(row, leave_out), *extra])


def _number(row: Any) -> str:
    spread = f" ± {row['test_sd']:.2f}" if row["test_sd"] == row["test_sd"] else ""
    return f"error barrier {row['test']:.2f}{spread} % (n = {row['n']})"


def _claim(name: str, sentence: str, judge: Callable[[Store], Evidence], table: str) -> Claim:
    return Claim(name, sentence, judge, f"`{sweep_command(table)}`")


_BACK = "brings the connection back that one hidden layer or linear layers lose without it"
_SAME = "makes no difference to the verdict at an error barrier of 2 %, the order being the only noise"
DISENTANGLING_CLAIMS = (
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
