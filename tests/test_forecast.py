"""Forecasts learn from first epochs, are scored on conditions they have not seen, and are silent without grounds."""

import math
import time

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from lmc_mlflow import query
from lmc_mlflow.contract import BY_EPOCH, Kind, Tag
from lmc_mlflow.findings import forecast as forecast_module
from lmc_mlflow.findings.forecast import forecast
from lmc_mlflow.findings.forecast_model import Examples, area, area_interval, held_out_log_odds
from lmc_mlflow.query.early_facts import EARLY_FACTS, early_facts

NOW = int(time.time() * 1000)


def run_of(
    store: MlflowClient, kind: str, tags: dict[str, str], curves: dict[str, dict[int, float]], **params: object
) -> str:
    """Log a finished run of ours with curves: metric -> step -> value."""
    run = store.create_run("0", tags={Tag.KIND: kind, **tags})
    metrics = [Metric(key, value, NOW, step) for key, curve in curves.items() for step, value in curve.items()]
    logged = [Param(name.replace("__", "."), str(value)) for name, value in params.items()]
    store.log_batch(run.info.run_id, metrics, logged)
    store.set_terminated(run.info.run_id)
    return str(run.info.run_id)


def pair_of(
    store: MlflowClient,
    lr: float,
    seed: int,
    barrier: float,
    verdict: str = "",
    ended: int = 9,
    by_epoch: bool = True,
) -> str:
    """Log a pair whose barrier after epoch 2 is given; with a verdict also its path."""
    settings = {"optimization__lr": lr, "model__seed": seed, "optimization__epochs": 10}
    pair = run_of(store, Kind.PAIR, {}, {}, **settings)
    sides = []
    for side, loss in (("A", 0.5), ("B", 0.7)):
        curves = {
            "train/loss": {1: 1.0, 2: 0.4, 9: 0.1},
            "test/loss": {1: 1.0, 2: loss, 9: 0.3},
            "test/accuracy": {1: 0.5, 2: 0.75, 9: 0.9},
            "distance_from_start": {1: 1.0, 2: 3.0 if side == "A" else 4.0},
        }
        curves = {key: {step: y for step, y in curve.items() if step <= ended} for key, curve in curves.items()}
        sides.append(run_of(store, Kind.ENDPOINT, {"mlflow.parentRunId": pair, Tag.SIDE: side}, curves, **settings))
    if by_epoch:
        curves = {"euclidean_squared": {2: 25.0}, "angle_deg": {2: 60.0, 9: 80.0}, "test/barrier": {2: barrier, 9: 9.0}}
        curves["gradient_agreement"] = {2: 0.5 - barrier}
        tags = {Tag.PAIR: pair, Tag.RUN_A: sides[0], Tag.RUN_B: sides[1]}
        run_of(store, Kind.PATH_BY_EPOCH, tags, {f"{key}{BY_EPOCH}": curve for key, curve in curves.items()})
    if verdict:
        tags = {Tag.PAIR: pair, Tag.RUN_A: sides[0], Tag.RUN_B: sides[1], Tag.CONNECTED: verdict, Tag.BN: "interpolate"}
        run_of(store, Kind.PATH, tags, {})
    return pair


def test_the_facts_of_a_pair_after_its_first_epochs(store: MlflowClient) -> None:
    pair = pair_of(store, 0.1, 1, barrier=0.25)
    (row,) = early_facts(query.pairs(), epoch=5).to_dict("records")
    assert row == {
        "run_id": pair,
        "train_loss": pytest.approx(0.4),
        "test_loss": pytest.approx(0.6),
        "loss_difference": pytest.approx(0.2),
        "loss_gap": pytest.approx(0.2),
        "accuracy": pytest.approx(0.75),
        "angle_deg": 60.0,
        "distance": 5.0,
        "barrier": 0.25,
        "gradient_agreement": 0.25,
        "agreement": pytest.approx(0.0),  # 3, 4 and 5 make a right angle
        "last_epoch": 9,
    }


def test_what_a_pair_has_not_logged_is_not_known(store: MlflowClient) -> None:
    pair_of(store, 0.1, 1, barrier=0.25, by_epoch=False)
    run_of(store, Kind.PAIR, {}, {})
    first, second = early_facts(query.pairs(), epoch=2).to_dict("records")
    assert [name for name, value in first.items() if value != value] == [
        "angle_deg",
        "distance",
        "barrier",
        "gradient_agreement",
        "agreement",
    ]
    assert all(math.isnan(second[name]) for name in EARLY_FACTS)


def test_a_store_of_pairs_is_forecast_and_scored_by_conditions(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast_module, "FEWEST_PAIRS", 12)
    rates = (0.1, 0.2, 0.3, 0.4)
    for i, lr in enumerate(rates):
        for seed in (1, 2, 3):
            is_high = (seed + i) % 2 == 0
            pair_of(
                store, lr, seed, barrier=0.5 + 0.01 * seed if is_high else 0.01 * seed, verdict=("yes", "no")[is_high]
            )
    low, high = (pair_of(store, 0.9, seed, barrier) for seed, barrier in ((1, 0.02), (2, 0.6)))
    pair_of(store, 0.1, 9, barrier=0.0, verdict="no", ended=2)
    found = query.forecast(query.pairs(), epoch=2)
    assert (found.num_pairs, found.num_conditions, found.missing) == (12, 4, ())
    assert (found.area, found.low, found.high) == (1.0, 1.0, 1.0)
    of = found.frame.set_index("run_id")["probability"]
    assert of[low] > 0.6
    assert of[high] < 0.4
    assert found.frame["connected"].value_counts().to_dict() == {"yes": 6, "no": 7, "": 2}
    assert "area under the ROC curve 1.00 (95 % interval 1.00 to 1.00), better than chance" in str(found)
    assert query.forecast(query.pairs().head(1), epoch=2).frame["probability"].tolist() == [of.iloc[0]]


def test_fewer_than_thirty_pairs_are_no_ground_for_a_forecast(store: MlflowClient) -> None:
    pair_of(store, 0.1, 1, barrier=0.0, verdict="yes")
    pair_of(store, 0.1, 2, barrier=0.0)
    found = forecast(query.pairs(), epoch=5)
    assert found.text == (
        "no forecast after epoch 5: it needs 30 pairs of more epochs than that, each with a path measured by "
        "`interpolate`; the store has 1"
    )
    assert math.isnan(found.area)
    assert found.frame["probability"].isna().all()
    assert found.frame["connected"].tolist() == ["yes", ""]


@pytest.mark.parametrize(
    ("verdicts", "message"),
    [
        ({0.1: "yes", 0.2: "yes"}, "all 4 pairs of the store are connected, so there is nothing to tell apart"),
        ({0.1: "no", 0.2: "apparent"}, "all 4 pairs of the store are not connected"),
        ({0.1: "yes", 0.2: "no"}, "its 2 conditions cannot be predicted from one another"),
    ],
)
def test_verdicts_that_cannot_be_told_apart_are_no_ground_either(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, verdicts: dict[float, str], message: str
) -> None:
    monkeypatch.setattr(forecast_module, "FEWEST_PAIRS", 4)
    for lr, verdict in verdicts.items():
        for seed in (1, 2):
            pair_of(store, lr, seed, barrier=0.0, verdict=verdict, by_epoch=False)
    found = forecast(query.pairs(), epoch=2)
    assert message in found.text
    assert found.frame["probability"].isna().all()


def test_an_empty_store_gives_no_forecast_and_wrong_arguments_are_one_line(store: MlflowClient) -> None:
    assert "the store has 0" in forecast(query.pairs(), epoch=5).text
    with pytest.raises(ValueError, match="epoch=0: give an epoch, counted from 1"):
        forecast(query.pairs(), epoch=0)
    with pytest.raises(ValueError, match=r"pairs: give rows of query\.pairs\(\)"):
        forecast(pd.DataFrame({"run_id": []}))


def test_the_area_counts_pairs_of_verdicts_and_halves_ties() -> None:
    connected = np.array([True, True, False, False])
    assert area(np.array([2.0, 1.0, 1.0, 0.0]), connected) == 3.5 / 4
    assert area(np.array([0.0, 0.0, 1.0, 2.0]), connected) == 0.0
    assert math.isnan(area(np.array([1.0]), np.array([True])))


def examples(num_conditions: int, per_condition: int, signal: float, of_condition: float, seed: int) -> Examples:
    """Draw pairs with two facts: one that follows the verdict, and one that is the condition's alone."""
    generator = np.random.default_rng(seed)
    conditions = np.repeat(np.arange(num_conditions), per_condition)
    tends = generator.random(num_conditions) < 0.5
    connected = np.where(
        generator.random(len(conditions)) < of_condition, tends[conditions], generator.random(len(conditions)) < 0.5
    )
    offset = generator.normal(size=num_conditions)[conditions]
    facts = np.stack([signal * connected + generator.normal(size=len(conditions)), offset], axis=1)
    return Examples(facts, connected, conditions)


def score(known: Examples) -> tuple[float, float, float]:
    odds, _ = held_out_log_odds(known, known.facts, known.conditions)
    return area(odds, known.connected), *area_interval(odds, known)


def test_a_fact_that_follows_the_verdict_is_found_on_new_conditions() -> None:
    value, low, high = score(examples(10, 6, signal=3.0, of_condition=0.0, seed=1))
    assert value > 0.9
    assert 0.8 < low <= value <= high


def test_without_a_signal_the_score_is_chance_in_the_mean_though_every_condition_has_one_verdict() -> None:
    values = [score(examples(12, 5, signal=0.0, of_condition=1.0, seed=seed))[0] for seed in range(6)]
    assert abs(np.mean(values) - 0.5) < 0.15
    intervals = [score(examples(12, 5, signal=0.0, of_condition=0.0, seed=seed))[1:] for seed in range(6)]
    assert sum(low <= 0.5 <= high for low, high in intervals) >= 5


def test_a_missing_fact_is_replaced_and_one_without_any_value_changes_nothing() -> None:
    known = examples(10, 6, signal=3.0, of_condition=0.0, seed=1)
    facts = known.facts.copy()
    facts[::7, 0] = np.nan
    facts[:, 1] = np.nan
    assert score(Examples(facts, known.connected, known.conditions))[0] > 0.8
