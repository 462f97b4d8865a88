"""A trajectory continues exactly where a training ended, stops and resumes, and averages its networks."""

from dataclasses import replace

import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from torch import Tensor

from entry_points.train_pair import main as train_pair
from entry_points.trajectory import main as trajectory
from lmc_mlflow import query
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.config.trajectory import TrajectoryConfig
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.query.runs import Run, metric_curve
from lmc_mlflow.weights import average
from lmc_mlflow.workflows.trajectory.epoch_runs import EpochRuns
from lmc_mlflow.workflows.trajectory.trajectory import continue_optimization

HERE = ["--device=cpu", "--threads=1"]


def side_a(client: MlflowClient, epochs: int = 3) -> str:
    """Run id of the endpoint of side A that was trained for so many epochs."""
    runs = runs_of_kind(client, "endpoint")
    (found,) = (
        run.info.run_id
        for run in runs
        if run.data.tags["lmc.side"] == "A"
        and run.data.params["optimization.epochs"] == str(epochs)
        and "lmc.trajectory" not in run.data.tags
    )
    return str(found)


def networks(client: MlflowClient, run: Run) -> dict[str, dict[str, Tensor]]:
    """Epoch, or `swa`, -> weights."""
    found = client.search_runs(["0"], f"tags.`lmc.trajectory` = '{run.info.run_id}'")
    assert all(child.data.tags["lmc.kind"] == "endpoint" for child in found)
    return {child.data.tags.get("lmc.epoch", "swa"): load_network(client, child.info.run_id).state for child in found}


def ids_by_epoch(client: MlflowClient, run: Run) -> list[str]:
    found = client.search_runs(["0"], f"tags.`lmc.trajectory` = '{run.info.run_id}' and tags.`lmc.epoch` != ''")
    return [child.info.run_id for child in sorted(found, key=lambda child: int(child.data.tags["lmc.epoch"]))]


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_the_average_is_the_mean_and_counters_are_the_last_ones() -> None:
    states = [
        {"w": torch.tensor([1.0, 2.0]), "n": torch.tensor(3)},
        {"w": torch.tensor([3.0, 8.0]), "n": torch.tensor(5)},
    ]
    found = average(iter(states))
    assert found["w"].tolist() == [2.0, 5.0]
    assert found["w"].dtype == torch.float32
    assert found["n"] == 5
    with pytest.raises(ValueError, match="nothing to average"):
        average([])


def test_what_is_not_given_is_as_it_was_trained_but_the_rate_is_constant() -> None:
    own = OptimizationConfig(
        epochs=10, optimizer="sgd", lr=0.1, momentum=0.9, nesterov=True, schedule="cosine", warmup_epochs=2.0
    )
    on = continue_optimization(own, TrajectoryConfig(run="x", epochs=4, lr=0.05))
    assert on == replace(own, epochs=14, lr=0.05, schedule="constant", warmup_epochs=0.0)
    adam = continue_optimization(own, TrajectoryConfig(run="x", optimizer="adam"))
    assert (adam.optimizer, adam.momentum, adam.nesterov, adam.lr, adam.epochs) == ("adam", 0.0, False, 0.1, 30)
    with pytest.raises(ValueError, match="momentum and nesterov belong to optimizer=sgd"):
        continue_optimization(own, TrajectoryConfig(run="x", optimizer="adam", momentum=0.5))


def test_sgd_trained_on_is_bit_equal_to_sgd_never_stopped(store: MlflowClient) -> None:
    sgd = [*QUICK, "--optimizer=sgd", "--lr=0.1"]
    assert train_pair(sgd) == 0
    assert train_pair([*sgd, "--epochs=5"]) == 0
    start = side_a(store)
    assert trajectory([f"--run={start}", "--epochs=2", *HERE]) == 0
    (run,) = runs_of_kind(store, "trajectory")
    found = networks(store, run)
    assert sorted(found) == ["4", "5", "swa"]
    assert equal(found["5"], load_network(store, side_a(store, 5)).state)
    assert not equal(found["4"], found["5"])
    for name, value in found["swa"].items():
        torch.testing.assert_close(value, (found["4"][name] + found["5"][name]) / 2)
    metrics = run.data.metrics
    losses = metric_curve(store, run.info.run_id, "test/loss")
    assert sorted(losses) == [3, 4, 5]
    assert losses[3] == metrics["test/loss_start"] == store.get_run(start).data.metrics["test/loss"]
    assert losses[5] == metrics["test/loss_last"]
    costs = [store.get_run(run_id).data.metrics["cost/train_seconds"] for run_id in (start, *ids_by_epoch(store, run))]
    assert costs == sorted(costs)  # an ensemble adds up what its members cost
    assert costs[0] > 0
    (swa,) = store.search_runs(["0"], "tags.`lmc.swa` = 'yes'")
    assert swa.data.metrics["test/accuracy"] == metrics["test/accuracy_swa"]
    assert swa.data.tags["mlflow.parentRunId"] == run.info.run_id
    assert query.endpoints()["trajectory"].value_counts().to_dict() == {"": 4, run.info.run_id: 3}


def test_a_trajectory_that_was_stopped_goes_on_as_if_it_had_not_been(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_pair([*QUICK, "--model=mlp_l1_w8_bn"]) == 0  # adam: its state must come along
    start = side_a(store)
    assert trajectory([f"--run={start}", "--batch_size=1", *HERE]) == 1
    assert "a single one, which batch norm cannot take; choose another batch_size" in capsys.readouterr().err
    assert runs_of_kind(store, "trajectory") == []
    assert trajectory([f"--run={start}", "--epochs=3", *HERE]) == 0
    undisturbed = networks(store, runs_of_kind(store, "trajectory")[0])
    original = EpochRuns.on_epoch

    def stop_in_epoch_five(self: EpochRuns, epoch: int, reports: list) -> None:
        if epoch == 5:
            raise KeyboardInterrupt
        original(self, epoch, reports)

    monkeypatch.setattr(EpochRuns, "on_epoch", stop_in_epoch_five)
    flags = [f"--run={start[:12]}", "--epochs=2", *HERE]
    assert trajectory(flags) == 130
    stopped = runs_of_kind(store, "trajectory")[1]
    assert stopped.info.status == "KILLED"
    assert sorted(networks(store, stopped)) == ["4"]
    monkeypatch.setattr(EpochRuns, "on_epoch", original)
    capsys.readouterr()
    assert trajectory(flags) == 0
    assert f"trajectory {stopped.info.run_id} (resumed)" in capsys.readouterr().out
    found = networks(store, stopped)
    assert sorted(found) == ["4", "5", "swa"]
    assert equal(found["4"], undisturbed["4"])
    assert equal(found["5"], undisturbed["5"])
    points = store.get_metric_history(stopped.info.run_id, "test/loss")
    assert [point.step for point in points] == [3, 4, 5]
    assert {run.info.status for run in store.search_runs(["0"])} == {"FINISHED"}
    assert trajectory(flags) == 0
    assert "(finished before)" in capsys.readouterr().out
    # the average's batch norm is its own, not the mean of the networks'
    mean = (found["4"]["norm1.running_mean"] + found["5"]["norm1.running_mean"]) / 2
    assert not torch.equal(found["swa"]["norm1.running_mean"], mean)


def test_a_trajectory_needs_a_run(store: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert trajectory([]) == 1
    assert "give run=<run id of a trained network>" in capsys.readouterr().err
    assert trajectory(["--run=abc"]) == 1
    assert "no run's id begins with 'abc'" in capsys.readouterr().err
    assert runs_of_kind(store, "trajectory") == []
