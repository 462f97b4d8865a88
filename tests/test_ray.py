"""A sweep on a Ray cluster finishes every cell exactly once, whatever dies in the meantime."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from conftest import ROOT, runs_of_kind
from mlflow import MlflowClient

from entry_points.sweep import main as sweep
from lmc_mlflow.config.sweep import WorkConfig
from lmc_mlflow.sweeps.engines.ray import RayEngine, check_uri, shared_uri

GRID = """
description: four cells that take some seconds each
seeds: [1, 2]
defaults: {model: mlp_l1_w16, epochs: 80, batch_size: 16, c2st_samples: 0, checkpoint_every: 5}
then:
  - interpolate: {num_alphas: 3}
cells:
  - shift: [label_5050, label_2080]
"""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """A head without cores for work, and two nodes with one each, as processes of this machine."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        yield made
    finally:
        made.shutdown()


def wait_for_two_at_work(store: MlflowClient) -> list:
    """The pairs in training, once there are two with an epoch behind them."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        running = [run for run in runs_of_kind(store, "pair") if run.info.status == "RUNNING"]
        if len([run for run in running if "train/loss" in run.data.metrics]) == 2:
            return running
        time.sleep(0.1)
    raise TimeoutError("no two pairs were in training at once")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_when_a_node_dies_every_cell_still_finishes_exactly_once(
    store: MlflowClient, cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    (tmp_path / "four.yaml").write_text(GRID)
    at_work: list = []

    def kill_a_node() -> None:
        at_work.extend(wait_for_two_at_work(store))
        cluster.remove_node(nodes[1], allow_graceful=False)

    killer = threading.Thread(target=kill_a_node)
    killer.start()
    flags = ["--grid=four.yaml", "--engine=ray", f"--address={cluster.address}", "--seeds_together=1", "--device=cpu"]
    assert sweep(flags) == 0, capsys.readouterr().err
    killer.join()

    died = [run for run in at_work if not psutil.pid_exists(int(run.data.tags["lmc.pid"]))]
    assert died  # the node took a training along
    pairs = runs_of_kind(store, "pair")
    assert Counter(run.info.status for run in pairs) == {"FINISHED": 4}
    assert len({run.data.tags["lmc.fingerprint"] for run in pairs}) == 4
    moved = {run.info.run_id: run.data.tags["lmc.pid"] for run in pairs}
    assert any(moved[run.info.run_id] != run.data.tags["lmc.pid"] for run in at_work)  # resumed under its own id
    assert Counter(run.data.tags["lmc.pair"] for run in runs_of_kind(store, "path")) == dict.fromkeys(moved, 1)
    (parent,) = runs_of_kind(store, "sweep")
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["cells/finished"] == 4
    assert {run.data.tags["mlflow.parentRunId"] for run in pairs} == {parent.info.run_id}
    assert store.search_registered_models() == []  # every claim was given back


def test_a_cluster_is_not_sent_to_a_file_beside_this_process() -> None:
    check_uri("http://server:5000", "auto")
    check_uri("sqlite:////shared/mlflow.db", "auto")
    check_uri("sqlite:///mlflow.db", "")
    with pytest.raises(ValueError, match=r"other nodes do not see; start `mlflow server`"):
        check_uri("sqlite:///mlflow.db", "10.0.0.1:6379")


def test_a_relative_store_is_named_in_full_for_workers_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shared_uri("sqlite:///mlflow.db") == f"sqlite:///{tmp_path}/mlflow.db"
    assert shared_uri("sqlite:////there/mlflow.db") == "sqlite:////there/mlflow.db"
    assert shared_uri("http://server:5000") == "http://server:5000"


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_an_address_where_nothing_listens_is_refused_at_once(form: str) -> None:
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = form.format(free.getsockname()[1])
    started = time.monotonic()
    with pytest.raises(ValueError, match=rf"address='{address}': no Ray cluster answers there \(.*refused"):
        RayEngine(WorkConfig(engine="ray", address=address), {}, "cpu")
    assert time.monotonic() - started < 20  # Ray itself is imported once


LISTENING = """
import psutil
from lmc_mlflow.config.sweep import WorkConfig
from lmc_mlflow.sweeps.engines.ray import RayEngine

engine = RayEngine(WorkConfig(engine="ray"), {}, "cpu")
me = psutil.Process()
sockets = [one for process in [me, *me.children(recursive=True)] for one in process.net_connections("tcp")]
found = {one.laddr.ip for one in sockets if one.status == "LISTEN"}
print("listens:", *sorted(found))
engine.close()
"""


@pytest.mark.slow
def test_a_cluster_of_its_own_listens_on_this_machine_alone() -> None:
    pytest.importorskip("ray")
    told = subprocess.run(
        [sys.executable, "-c", LISTENING],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    addresses = told.partition("listens: ")[2].split()
    assert addresses
    assert all(address.removeprefix("::ffff:").startswith("127.") for address in addresses)
