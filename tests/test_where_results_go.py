"""What is computed from logged networks lands in their experiment, unless the user has chosen another."""

import pytest
from conftest import QUICK
from mlflow import MlflowClient

from entry_points.align import main as align
from entry_points.ensemble import main as ensemble
from entry_points.interpolate import main as interpolate
from entry_points.matrix import main as matrix
from entry_points.plane import main as plane
from entry_points.prune import main as prune
from entry_points.star import main as star
from entry_points.train_pair import main as train_pair
from entry_points.trajectory import main as trajectory

HERE = ["--device=cpu", "--threads=1"]


def kinds_in(client: MlflowClient, experiment: str) -> list[str]:
    """Kinds of the runs of an experiment, endpoints apart."""
    runs = client.search_runs([experiment], "tags.`lmc.kind` != 'endpoint'")
    return sorted(run.data.tags["lmc.kind"] for run in runs)


@pytest.fixture
def networks(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two pairs in an experiment of their own, which is then no longer chosen; run ids of their networks."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "digits")
    for seed in (1, 2):
        assert train_pair([*QUICK, f"--seed={seed}"]) == 0
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    found = store.search_runs(["1"], "tags.`lmc.kind` = 'endpoint'", order_by=["attributes.start_time ASC"])
    return [run.info.run_id for run in found]


def test_every_measurement_lands_in_the_experiment_of_its_networks(store: MlflowClient, networks: list[str]) -> None:
    a, b, c, d = networks
    assert interpolate([f"--run_a={a}", f"--run_b={b}", *HERE, "--splits=test", "--num_resamples=0"]) == 0
    assert align([f"--run_a={a}", f"--run_b={c}", *HERE]) == 0
    assert ensemble([f"--runs={a},{c}", *HERE, "--num_resamples=0", "--num_orders=2"]) == 0
    assert matrix([f"--runs={a},{c}", *HERE]) == 0
    assert plane([f"--run_a={a}", f"--run_b={b}", f"--run_c={c}", "--num_points=3", *HERE]) == 0
    assert star([f"--sources={a},{c}", f"--held_out={d}", "--epochs=1", *HERE]) == 0
    assert prune([f"--run={a}", "--heat_maps=false", *HERE]) == 0
    assert trajectory([f"--run={a}", "--epochs=1", *HERE]) == 0
    made = ["alignment", "ensemble", "matrix", "pair", "pair", "path", "plane", "pruned", "star", "trajectory"]
    assert kinds_in(store, "1") == made
    assert kinds_in(store, "0") == []


def test_a_chosen_experiment_is_kept(store: MlflowClient, networks: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    flags = [f"--run_a={networks[0]}", f"--run_b={networks[1]}", *HERE, "--splits=test", "--num_resamples=0"]
    launched = store.create_run("0", tags={"mlflow.project.entryPoint": "interpolate"}).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", launched)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")  # as `mlflow run` sets it where nobody has chosen
    assert interpolate(flags) == 0
    assert kinds_in(store, "1") == ["pair", "pair", "path"]
    assert store.get_run(launched).data.tags["lmc.see"] in {run.info.run_id for run in store.search_runs(["1"])}
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    assert interpolate(flags) == 0  # MLflow's first experiment, chosen by its id
    assert kinds_in(store, "0") == ["path"]
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    assert interpolate(flags) == 0
    assert kinds_in(store, "2") == ["path"]


def test_a_matrix_that_an_earlier_version_has_left_elsewhere_is_found(
    store: MlflowClient, networks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [f"--runs={networks[0]},{networks[2]}", *HERE]
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    assert matrix(flags) == 0
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")
    assert matrix(flags) == 0
    assert kinds_in(store, "0") + kinds_in(store, "1") == ["matrix", "pair", "pair"]
