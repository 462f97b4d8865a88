"""Pairs that train together equal pairs that train alone, and each has its own runs."""

import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from torch import Tensor

from entry_points.interpolate import main as interpolate
from entry_points.train_pair import main as train_pair
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.query.runs import metric_curve
from lmc_mlflow.workflows.pair.recorder import Recorder

SIDES = ("A", "B")


def states(client: MlflowClient) -> dict[tuple[str, str, str], dict[str, Tensor]]:
    """(seed, side, engine asked for) -> final weights of every finished endpoint."""
    found = {}
    for run in runs_of_kind(client, "endpoint"):
        if run.info.status == "FINISHED":
            key = (run.data.tags["lmc.seed"], run.data.tags["lmc.side"], run.data.params["optimization.engine"])
            found[key] = load_network(client, run.info.run_id).state
    return found


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_seeds_trained_together_end_bit_equal_to_seeds_trained_alone(store: MlflowClient) -> None:
    assert train_pair([*QUICK, "--seeds=1,2"]) == 0
    together = states(store)
    assert len(together) == 4
    pairs = runs_of_kind(store, "pair")
    assert [run.data.tags["lmc.seed"] for run in pairs] == ["1", "2"]
    for seed in (1, 2):
        assert train_pair([*QUICK, f"--seed={seed}", "--force=true"]) == 0
    alone = states(store)  # the later runs of the same keys
    assert len(runs_of_kind(store, "endpoint")) == 8
    for key, state in together.items():
        assert equal(state, alone[key]), key
    assert not equal(together["1", "A", "exact"], together["2", "A", "exact"])


def test_a_seed_that_is_finished_is_not_trained_again(store: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_pair([*QUICK, "--seed=2"]) == 0
    capsys.readouterr()
    assert train_pair([*QUICK, "--seeds=1,2,3"]) == 0
    told = [line.split()[2].strip("():") for line in capsys.readouterr().out.splitlines() if line.startswith("pair ")]
    assert told == ["trained", "finished", "trained"]
    assert len(runs_of_kind(store, "pair")) == 3


def test_seeds_that_were_stopped_resume_under_their_ids_bit_equal(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [*QUICK, "--epochs=4", "--seeds=1,2", "--engine=fast"]
    original = Recorder.on_epoch

    def stop_in_epoch_three(self: Recorder, epoch: int, reports: list) -> None:
        if epoch == 3:
            raise KeyboardInterrupt
        original(self, epoch, reports)

    monkeypatch.setattr(Recorder, "on_epoch", stop_in_epoch_three)
    assert train_pair(flags) != 0
    stopped = [run.info.run_id for run in runs_of_kind(store, "pair")]
    assert [store.get_run(run_id).info.status for run_id in stopped] == ["KILLED", "KILLED"]
    monkeypatch.setattr(Recorder, "on_epoch", original)
    assert train_pair(flags) == 0
    assert [run.info.run_id for run in runs_of_kind(store, "pair")] == stopped
    resumed = states(store)
    for run in runs_of_kind(store, "endpoint"):
        assert sorted(metric_curve(store, run.info.run_id, "test/loss")) == [1, 2, 3, 4]
    assert train_pair([*flags, "--force=true"]) == 0
    for key, state in states(store).items():
        assert equal(state, resumed[key]), key


def test_the_fast_engine_says_so_and_ends_where_the_exact_one_does_but_for_rounding(store: MlflowClient) -> None:
    assert train_pair(QUICK) == 0
    assert train_pair([*QUICK, "--engine=fast"]) == 0
    exact, fast = runs_of_kind(store, "pair")
    assert (exact.data.tags["lmc.engine"], fast.data.tags["lmc.engine"]) == ("exact", "fast")
    assert exact.data.tags["lmc.fingerprint"] != fast.data.tags["lmc.fingerprint"]
    found = states(store)
    for side in SIDES:
        for name, value in found["1", side, "exact"].items():
            torch.testing.assert_close(found["1", side, "fast"][name], value, atol=1e-4, rtol=1e-3)
    assert interpolate([f"--pair={fast.info.run_id}", "--num_alphas=3", "--device=cpu", "--threads=1"]) == 0
    path = runs_of_kind(store, "path")[0]
    ends = {run.data.tags["lmc.side"]: run for run in runs_of_kind(store, "endpoint")}  # the later ones: fast
    curve = metric_curve(store, path.info.run_id, "test/path_loss")
    assert curve[0] == ends["A"].data.metrics["test/loss"]
    assert curve[1000] == ends["B"].data.metrics["test/loss"]


def test_a_network_that_cannot_be_stacked_is_trained_exactly_and_tagged_so(store: MlflowClient) -> None:
    assert train_pair([*QUICK, "--model=mlp_l1_w16_bn_dropout", "--engine=fast"]) == 0
    assert runs_of_kind(store, "pair")[0].data.tags["lmc.engine"] == "exact"


def test_the_cost_of_a_pair_is_logged_with_its_shares(store: MlflowClient) -> None:
    assert train_pair(QUICK) == 0
    metrics = runs_of_kind(store, "pair")[0].data.metrics
    shares = [metrics[f"cost/share_{part}"] for part in ("training", "testing", "logging")]
    assert all(0 < share < 1 for share in shares)
    assert sum(shares) < 1
    assert metrics["cost/peak_memory_gb"] > 0.05


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--seeds=1,1"], "each seed once"), (["--seeds=1,2", "--seed=3"], "give either seed or seeds")],
)
def test_contradicting_seeds_are_refused(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert train_pair([*QUICK, *flags]) != 0
    assert message in capsys.readouterr().err
    assert runs_of_kind(store, "pair") == []
