"""Budgets of pairs with a common past count what comes after the sides part, and kept epochs end where they end."""

import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from mlflow.entities import Run
from torch import Tensor

from entry_points.interpolate import main as interpolate
from entry_points.train_pair import main as train_pair
from lmc_mlflow.query.kept_states import kept_sizes, load_kept
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.query.runs import metric_curve

FLAGS = [QUICK[0], *QUICK[2:], "--noise=different"]
"""Of sides with 715 and 714 training images: 23 steps an epoch, for each of them."""


def trained(store: MlflowClient, *flags: str) -> dict[str, Run]:
    """Train a pair, and give its sides."""
    assert train_pair([*FLAGS, *flags]) == 0
    pair = runs_of_kind(store, "pair")[-1].info.run_id
    runs = runs_of_kind(store, "endpoint")
    return {r.data.tags["lmc.side"]: r for r in runs if r.data.tags.get("mlflow.parentRunId") == pair}


def trunks(store: MlflowClient) -> list[str]:
    runs = runs_of_kind(store, "endpoint")
    return [run.info.run_id for run in runs if "mlflow.parentRunId" not in run.data.tags]


def weights(store: MlflowClient, run: Run) -> dict[str, Tensor]:
    return load_network(store, run.info.run_id).state


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("engine", ["exact", "fast"])
def test_steps_count_from_where_the_sides_part(store: MlflowClient, engine: str) -> None:
    more = ["--shared_epochs=1", f"--engine={engine}"]
    whole = trained(store, *more, "--epochs=3")
    by_steps = trained(store, *more, "--steps=46")
    assert all(equal(weights(store, whole[side]), weights(store, by_steps[side])) for side in "AB")
    assert len(trunks(store)) == 1  # shared by both budgets
    some = trained(store, *more, "--steps=30", "--keep_epochs=2,3")
    assert {run.data.metrics["epoch_reached"] for run in some.values()} == {3}
    assert sorted(metric_curve(store, some["A"].info.run_id, "test/loss")) == [1, 2, 3]
    assert equal(load_kept(store, some["B"], 3).network, weights(store, some["B"]))
    assert not equal(weights(store, some["B"]), weights(store, whole["B"]))
    child = trained(store, f"--engine={engine}", f"--start={some['A'].info.run_id}", "--start_epoch=2", "--steps=7")
    assert equal(weights(store, child["A"]), weights(store, some["A"]))


def test_a_training_until_a_loss_keeps_the_epochs_up_to_its_end(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--shared_epochs=1", "--until_train_loss=0.3", "--epochs=40"]
    flags = [*more, "--keep_epochs=2,3,40"]
    sides = trained(store, *flags)
    last = max(int(run.data.metrics["epoch_reached"]) for run in sides.values())
    assert 3 < last < 40
    for run in (*sides.values(), runs_of_kind(store, "pair")[0]):
        assert (run.data.tags["lmc.last_epoch"], run.data.tags["lmc.kept_epochs"]) == (str(last), "2,3")
    assert list(kept_sizes(store, sides["A"].info.run_id)) == [2, 3]
    capsys.readouterr()
    assert train_pair([*FLAGS, *flags]) == 0  # epoch 40 is no reason to train again: it never was
    assert "finished before" in capsys.readouterr().out
    assert train_pair([*FLAGS, *more, "--keep_epochs=4"]) == 1
    assert "keeps epochs 2,3; keep_epochs asks for 4 too" in capsys.readouterr().err
    pair = runs_of_kind(store, "pair")[0].info.run_id
    short = [f"--pair={pair}", "--num_alphas=3", "--num_resamples=0", "--device=cpu", "--threads=1"]
    assert interpolate([*short, f"--epochs=2,{last}"]) == 0
    whole = trained(store, "--shared_epochs=1", f"--epochs={last}")
    assert all(equal(weights(store, whole[side]), weights(store, sides[side])) for side in "AB")
    assert len(trunks(store)) == 1
