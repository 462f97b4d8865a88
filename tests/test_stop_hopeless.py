"""Hopeless pairs are stopped where the rule holds on the store's own pairs, count as nothing, and train on later."""

from pathlib import Path

import pytest
from conftest import runs_of_kind
from mlflow import MlflowClient
from test_forecast import run_of
from test_sweeps import ONE, sweep

from entry_points.train_pair import main as train_pair
from lmc_mlflow import query
from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.findings import hopeless as hopeless_module
from lmc_mlflow.findings.forecast import forecast
from lmc_mlflow.findings.hopeless import HOPELESS_BELOW, hopeless
from lmc_mlflow.query.networks import load_network

GRID = """
seeds: [1, 2, 3]
defaults: {model: mlp_l1_w8, epochs: 4, lr: 0.00001, c2st_samples: 0}
then: [interpolate: {num_alphas: 3, splits: test, num_resamples: 0}]
cells: [{batch_size: 64}]
"""
STOP = ("--stop_hopeless=true", "--stop_epoch=2")
NUM_CONDITIONS, NUM_SEEDS = 12, 4


def known_pair(store: MlflowClient, lr: float, seed: int, loss: float, verdict: str) -> str:
    """Log a pair of ten epochs whose losses after epoch 2 are given; with a verdict also its path."""
    settings = {"optimization__lr": lr, "model__seed": seed, "optimization__epochs": 10}
    pair = run_of(store, Kind.PAIR, {}, {}, **settings)
    curves = {
        "train/loss": {1: loss + 1, 2: loss, 9: 0.1},
        "test/loss": {1: loss + 1, 2: loss + 0.01 * seed, 9: 0.3},
        "test/accuracy": {1: 0.1, 2: 1 - loss / 3, 9: 0.9},
    }
    sides = [
        run_of(store, Kind.ENDPOINT, {"mlflow.parentRunId": pair, Tag.SIDE: side}, curves, **settings) for side in "AB"
    ]
    tags = {Tag.PAIR: pair, Tag.RUN_A: sides[0], Tag.RUN_B: sides[1], Tag.CONNECTED: verdict, Tag.BN: "interpolate"}
    run_of(store, Kind.PATH, tags, {})
    return pair


def fill(store: MlflowClient, per_condition: int = NUM_SEEDS) -> None:
    """Log conditions of which every second one has high losses and is not connected."""
    (Path("mlruns") / "0").mkdir(parents=True, exist_ok=True)  # where runs of ours would have their artifacts
    for number in range(NUM_CONDITIONS):
        for seed in range(1, per_condition + 1):
            is_high = number % 2 == 0
            loss = (2.3 if is_high else 0.2) + 0.01 * seed
            known_pair(store, 0.1 + 0.01 * number, seed, loss, "no" if is_high else "yes")


def test_the_rule_is_tried_on_the_pairs_of_the_store(store: MlflowClient) -> None:
    fill(store)
    every = query.pairs()
    asked = [known_pair(store, 0.5, seed, loss, "") for seed, loss in ((1, 2.3), (2, 0.2))]
    found = hopeless(asked, 2)
    assert found.is_active
    assert set(found.reasons) == {asked[0]}
    frame = forecast(every, 2).frame
    tried = [row for row in frame.itertuples() if row.connected and row.probability < HOPELESS_BELOW]
    assert f"it would have stopped {len(tried)} pairs of the {NUM_CONDITIONS * NUM_SEEDS} whose verdict" in found.why
    assert len(tried) == NUM_CONDITIONS * NUM_SEEDS / 2
    assert "so at most 12% of such pairs do, with 95% confidence" in found.why  # 1 - 0.05 ** (1 / 24)


def test_it_is_silent_with_few_pairs_and_where_it_would_have_been_wrong(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = hopeless((), 2)
    assert not found.is_active
    assert "it needs 30 pairs" in found.why
    assert "the store has 0" in found.why
    fill(store, per_condition=3)
    found = hopeless((), 2)
    assert (found.is_active, found.reasons) == (False, {})
    assert "it would have stopped 18 pairs whose verdict is known; 20 are needed to rely on it" in found.why
    monkeypatch.setattr(hopeless_module, "FEWEST_TRIED", 10)
    assert hopeless((), 2).is_active
    for pair in [run for run in runs_of_kind(store, "path") if run.data.tags[Tag.CONNECTED] == "no"][:1]:
        store.set_tag(pair.info.run_id, Tag.CONNECTED, "yes")
    found = hopeless((), 2)
    assert not found.is_active
    assert "of which 1 ended connected" in found.why


def pairs_of_grid(store: MlflowClient) -> dict[int, object]:
    found = [run for run in runs_of_kind(store, "pair") if run.data.params.get("model.model") == "mlp_l1_w8"]
    return {int(run.data.params["model.seed"]): run for run in found}


@pytest.mark.slow
def test_stopped_pairs_are_marked_count_as_nothing_and_are_trained_on(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(store)
    Path("mine.yaml").write_text(GRID)
    flags = ["--grid=mine.yaml", *ONE]
    assert sweep([*flags, *STOP]) == 0
    out = capsys.readouterr().out
    assert "stop_hopeless: active; after epoch 2 it would have stopped 24 pairs" in out
    assert "1 of 3 cells finished; 0 at work, 0 failed, 2 stopped as hopeless" in out
    found = pairs_of_grid(store)
    assert {seed: run.info.status for seed, run in found.items()} == {1: "FINISHED", 2: "KILLED", 3: "KILLED"}
    assert "forecast after epoch 2: probability of ending connected" in found[2].data.tags[Tag.STOPPED]
    assert Tag.STOPPED not in found[1].data.tags
    assert len(query.pairs()) == NUM_CONDITIONS * NUM_SEEDS + 1
    assert found[2].info.run_id not in set(query.endpoints()["pair"])
    assert len(store.get_metric_history(found[2].info.run_id, "train/loss")) == 2
    (run,) = runs_of_kind(store, "sweep")
    assert run.data.metrics["cells/stopped"] == 2
    assert run.data.metrics["cells/finished"] == 1

    assert sweep([*flags, *STOP]) == 0  # they are left as they are
    assert "1 of 3 cells finished before, 2 stopped as hopeless; nothing to do" in capsys.readouterr().out
    assert sweep([*flags, *STOP, "--dry_run=true"]) == 0
    assert "3 cells: 1 finished, 2 stopped" in capsys.readouterr().out
    assert sweep([*flags, "--dry_run=true"]) == 0
    assert "3 cells: 1 finished, 2 interrupted" in capsys.readouterr().out

    assert sweep(flags) == 0  # without the option they are trained on
    ended = pairs_of_grid(store)
    assert {seed: run.info.status for seed, run in ended.items()} == dict.fromkeys((1, 2, 3), "FINISHED")
    assert {seed: run.info.run_id for seed, run in ended.items()} == {s: run.info.run_id for s, run in found.items()}
    assert not any(run.data.tags.get(Tag.STOPPED) for run in ended.values())
    assert len(store.get_metric_history(found[2].info.run_id, "train/loss")) == 4
    again = ["--model=mlp_l1_w8", "--epochs=4", "--lr=0.00001", "--batch_size=64", "--c2st_samples=0", "--seed=2"]
    assert train_pair([*again, "--force=true", *ONE[:2]]) == 0
    whole, other = (
        {
            end.data.tags[Tag.SIDE]: load_network(store, end.info.run_id).state
            for end in runs_of_kind(store, "endpoint")
            if end.data.tags["mlflow.parentRunId"] == pair
        }
        for pair in (found[2].info.run_id, pairs_of_grid(store)[2].info.run_id)
    )
    assert found[2].info.run_id != pairs_of_grid(store)[2].info.run_id
    for side in "AB":
        assert all((whole[side][name] == other[side][name]).all() for name in whole[side])


@pytest.mark.slow
def test_without_grounds_nothing_is_stopped_and_the_sweep_says_so(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.yaml").write_text(GRID.replace("[1, 2, 3]", "[1, 2]"))
    assert sweep(["--grid=mine.yaml", *ONE, *STOP]) == 0
    out = capsys.readouterr().out
    assert "stop_hopeless: not active; no forecast after epoch 2: it needs 30 pairs" in out
    assert "2 of 2 cells finished; 0 at work, 0 failed\n" in out


def test_the_epoch_belongs_to_the_option(store: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep(["--stop_epoch=3"]) != 0
    assert "stop_epoch=3 belongs to stop_hopeless=true; leave it out" in capsys.readouterr().err
