"""Runs of another that a server lets one read, and not write, can be measured; what cannot be written is told."""

import pytest
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

from entry_points.ensemble import main as ensemble
from entry_points.interpolate import main as interpolate
from entry_points.train_pair import main as train_pair

HERE = ["--device=cpu", "--threads=1"]
FORBIDDEN = 'API request to endpoint failed with error code 403 != 200. Response body: "Permission denied"'


class Guard:
    """Lets a client write to the runs and the experiments that it has made since, as basic-auth does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, foreign: set[str]) -> None:
        self.refused: list[str] = []
        for name in ("set_tag", "log_artifact", "log_batch", "set_experiment_tag", "create_run"):
            monkeypatch.setattr(MlflowClient, name, self._guarded(getattr(MlflowClient, name), name, foreign))

    def _guarded(self, original, name, foreign):
        def call(client, first, *args, **kwargs):
            if first in foreign:
                self.refused.append(name)
                raise MlflowException(FORBIDDEN, error_code=PERMISSION_DENIED)
            return original(client, first, *args, **kwargs)

        return call


@pytest.fixture
def theirs(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> tuple[str, set[str]]:
    """A pair that another has trained, and all ids that are theirs; results go to an experiment of one's own."""
    assert train_pair([*QUICK, "--epochs=1"]) == 0
    (pair,) = runs_of_kind(store, "pair")
    foreign = {run.info.run_id for run in store.search_runs(["0"])} | {"0"}
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    return pair.info.run_id, foreign


def test_an_ensemble_and_a_path_of_runs_that_may_only_be_read(
    store: MlflowClient,
    theirs: tuple[str, set[str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pair, foreign = theirs
    guard = Guard(monkeypatch, foreign)
    scores = ["--num_alphas=5", "--num_resamples=20", "--num_orders=3", *HERE]
    assert ensemble([f"--pair={pair}", *scores]) == 0
    assert guard.refused == ["log_artifact", "set_tag"]  # the first member's predictions, and the line in the pair
    assert (
        f"predictions are not kept with run {pair} (API request to endpoint failed with error code 403" in caplog.text
    )
    assert interpolate([f"--pair={pair}", "--num_alphas=3", "--splits=test", "--num_resamples=0", *HERE]) == 0
    assert f"run {pair} does not list what was measured on it" in caplog.text
    mine = store.get_experiment_by_name("mine").experiment_id
    found = {run.data.tags["lmc.kind"]: run.info.status for run in store.search_runs([mine])}
    assert found == {"ensemble": "FINISHED", "path": "FINISHED"}


def test_an_experiment_that_may_not_be_written_to_is_named_with_the_way_out(
    store: MlflowClient,
    theirs: tuple[str, set[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pair, foreign = theirs
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    monkeypatch.setattr("lmc_mlflow.tracking.view._has_view", lambda *_: False)
    Guard(monkeypatch, foreign)
    capsys.readouterr()
    assert interpolate([f"--pair={pair}", "--num_alphas=3", "--splits=test", "--num_resamples=0", *HERE]) == 1
    told = capsys.readouterr().err
    assert told == (
        "interpolate: the server does not allow you to write runs to experiment 0; choose one of your own with "
        "MLFLOW_EXPERIMENT_NAME (`mlflow run --experiment-name`)\n"
    )
