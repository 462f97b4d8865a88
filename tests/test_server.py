"""Every command works with a tracking server as it does with a file."""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from servers import running_server

import lmc_mlflow as lmc
from entry_points.interpolate import main as interpolate
from entry_points.train_pair import main as train_pair
from lmc_mlflow.data.readers.digits import read_digits

pytestmark = [pytest.mark.server, pytest.mark.slow]
HERE = ["--device=cpu", "--threads=1"]


@pytest.fixture(scope="module")
def server(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with a database and an artifact folder of its own."""
    folder = tmp_path_factory.mktemp("server")
    with running_server(folder) as address:
        yield address


@pytest.fixture
def client(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A client of the server, which MLflow's settings name."""
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.chdir(tmp_path)
    return MlflowClient(tracking_uri=server)


def test_a_pair_is_trained_and_joined_through_a_server(
    server: str, client: MlflowClient, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert train_pair([*QUICK, "--shift=label_2080"]) == 0
    said = capsys.readouterr().out
    (pair,) = runs_of_kind(client, "pair")
    assert f"pair {pair.info.run_id} (trained)" in said
    assert f"this run   {server}/#/experiments/0/runs/{pair.info.run_id}" in said
    assert f"all runs   {server}/#/experiments/0/runs?" in said
    assert "mlflow ui" not in said
    assert [artifact.path for artifact in client.list_artifacts(pair.info.run_id, "resume")] == []

    assert interpolate([f"--pair={pair.info.run_id[:10]}", "--num_alphas=3", *HERE]) == 0
    said = capsys.readouterr().out
    (path,) = runs_of_kind(client, "path")
    assert f"this run   {server}/#/experiments/0/runs/{path.info.run_id}" in said
    assert path.data.tags["lmc.pair"] == pair.info.run_id
    assert [(p.step) for p in client.get_metric_history(path.info.run_id, "test/path_loss")] == [0, 500, 1000]
    for run in client.search_runs(["0"]):
        assert run.info.status == "FINISHED"
        assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
        assert Path(client.download_artifacts(run.info.run_id, "manifest.json", str(tmp_path))).is_file()
    assert not (tmp_path / "mlruns").exists()
    assert not (tmp_path / "mlflow.db").exists()


def test_a_midpoint_is_published_through_a_server_and_loaded_from_it(
    server: str, client: MlflowClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")  # of the process: not to be written to
    small = {"model": "mlp_l1_w16_bn", "epochs": 1, "seed": 5, "device": "cpu", "threads": 1, "c2st_samples": 0}
    pair = lmc.train_pair(uri=server, **small)
    path = lmc.interpolate(pair, num_alphas=3, splits="test", bn="recalibrate", uri=server)
    model = lmc.publish(path, alpha=0.5, name="midpoint", uri=server)
    again = lmc.publish(path, alpha=0.5, name="midpoint", uri=server)
    assert (again.model_id, again.version, again.how) == (model.model_id, "1", "published before")
    assert client.get_logged_model(model.model_id).artifact_location.startswith("mlflow-artifacts:/")
    assert client.get_run(path.run_id).data.tags["lmc.published"] == model.model_uri
    assert not (tmp_path / "other.db").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    digits = read_digits()
    for uri in (model.model_uri, "models:/midpoint/1"):
        outputs = mlflow.pyfunc.load_model(uri).predict(digits.test_images.astype(np.float32) / 255)
        loss = -outputs[np.arange(len(outputs)), digits.test_labels].mean(dtype=np.float64)
        assert loss == pytest.approx(client.get_metric_history(path.run_id, "test/path_loss")[1].value, abs=1e-6)


def test_a_pair_finished_on_a_server_is_pointed_at_and_not_trained_again(
    client: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*QUICK, "--seed=7", "--epochs=1"]
    assert train_pair(flags) == 0
    num_runs = len(client.search_runs(["0"]))
    capsys.readouterr()
    assert train_pair(flags) == 0
    assert "(finished before)" in capsys.readouterr().out
    assert len(client.search_runs(["0"])) == num_runs


def test_two_networks_of_different_pairs_are_joined_by_prefixes(client: MlflowClient) -> None:
    sides = {}
    for seed in (11, 12):
        assert train_pair([*QUICK, f"--seed={seed}", "--epochs=1"]) == 0
        found = client.search_runs(["0"], f"tags.`lmc.seed` = '{seed}' and tags.`lmc.side` = 'A'")
        sides[seed] = found[0].info.run_id
    assert interpolate([f"--run_a={sides[11][:10]}", f"--run_b={sides[12][:10]}", "--num_alphas=3", *HERE]) == 0
    (path,) = [run for run in runs_of_kind(client, "path") if run.data.tags["lmc.seed"] == "11, 12"]
    assert (path.data.tags["lmc.run_a"], path.data.tags["lmc.run_b"]) == (sides[11], sides[12])


def test_a_refused_command_leaves_nothing_on_the_server(
    client: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    before = len(client.search_runs(["0"]))
    assert train_pair([*QUICK, "--model=vgg11"]) == 1
    assert interpolate([f"--pair={'0' * 32}", *HERE]) == 1
    assert capsys.readouterr().err.count("\n") == 2
    assert len(client.search_runs(["0"])) == before
