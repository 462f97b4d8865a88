"""The server of docs/server.md, started by the commands printed there, keeps what 16 processes log at once."""

import importlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from conftest import QUICK, ROOT, runs_of_kind
from mlflow import MlflowClient

from entry_points.export import main as export
from entry_points.train_pair import main as train_pair
from lmc_mlflow.query.verified_artifacts import download_verified

import_ = importlib.import_module("entry_points.import").main
NUM_WORKERS, NUM_POINTS, NUM_PARAMS = 16, 60, 40
PATIENCE = 120.0
DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
PROGRAMS = str(DEBIAN[-1]) if DEBIAN and not shutil.which("pg_ctl") else ""
PATH = f"{PROGRAMS}:{os.environ['PATH']}" if PROGRAMS else os.environ["PATH"]
pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("pg_ctl", path=PATH), reason="PostgreSQL (pg_ctl, initdb) is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("psycopg2") is None, reason="pip install '.[server]' for psycopg2"),
    pytest.mark.skipif(
        os.geteuid() == 0 and shutil.which("runuser") is None, reason="PostgreSQL refuses root, and there is no runuser"
    ),
]


@dataclass(frozen=True)
class Server:
    """A tracking server over PostgreSQL: its folder, its address, and the database behind it."""

    store: Path
    address: str
    database: str


def blocks() -> list[str]:
    """The commands of docs/server.md, block by block."""
    return re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "server.md").read_text(), re.DOTALL)


def type_in(script: str, store: Path, as_postgres: bool = False) -> None:
    """Type commands into a shell; PostgreSQL's own as a user who is not root."""
    script = script.replace("export STORE=$HOME/lmc-store\n", "")
    command = ["bash", "-euc", script]
    if as_postgres and os.geteuid() == 0:
        command = ["runuser", "-u", "postgres", "--", *command]
    environment = {**os.environ, "PATH": PATH, "STORE": str(store), "PYTHONPATH": str(ROOT)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    with (store / "typed.log").open("ab") as said:  # a pipe would stay open as long as the database runs
        answer = subprocess.run(command, env=environment, cwd=store, stdout=said, stderr=said, check=False)
    assert answer.returncode == 0, (store / "typed.log").read_text()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    database_block, server_block = blocks()[:2]
    upgrade, start = server_block.split("MLFLOW_SERVER", 1)
    store = Path(tempfile.mkdtemp(prefix="lmc"))  # short: a socket's path has at most 107 characters
    if os.geteuid() == 0:
        shutil.chown(store, "postgres")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = f"{upgrade}exec env MLFLOW_SERVER{start}".replace("--port 5000", f"--port {port}")
    assert str(port) in script
    try:
        type_in(database_block, store, as_postgres=True)
        environment = {**os.environ, "STORE": str(store), "MLFLOW_DISABLE_TELEMETRY": "true"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        with (
            (store / "server.log").open("w") as said,
            subprocess.Popen(
                ["bash", "-euc", script], stdout=said, stderr=said, env=environment, cwd=store, start_new_session=True
            ) as process,
        ):
            try:
                address = f"http://127.0.0.1:{port}"
                wait_until_it_answers(address, process, store / "server.log")
                yield Server(store, address, f"postgresql+psycopg2://mlflow@/mlflow?host={store}/postgres")
            finally:
                os.killpg(process.pid, signal.SIGKILL)
    finally:
        type_in('pg_ctl --pgdata="$STORE/postgres/data" --mode=immediate stop || true', store, as_postgres=True)
        shutil.rmtree(store)


def wait_until_it_answers(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    pytest.fail(f"no answer at {address} within {PATIENCE} s:\n{log.read_text()}")


@pytest.fixture
def client(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A client of the server, which MLflow's settings name."""
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    monkeypatch.chdir(tmp_path)
    return MlflowClient(tracking_uri=server.address)


WORKERS = f"""
import multiprocessing
import numpy as np
from lmc_mlflow.tracking.lifecycle import open_runs
from lmc_mlflow.tracking.connection.store import open_store

def work(number, together):
    store = open_store()
    together.wait()
    with open_runs() as runs:
        run = runs.open(store, "report", f"worker {{number}}", {{"worker": str(number)}})
        run.log_params({{f"section.field_{{i}}": f"{{number}} {{i}}" for i in range({NUM_PARAMS})}})
        for step in range(1, {NUM_POINTS} + 1):
            run.log_metrics({{"loss": number + step / 64, "accuracy": number - step / 64}}, step)
        run.log_text(f"{{number}}", "text.txt")
        run.log_arrays({{"x": np.full(1000, number)}}, "folder/array.npz")
        run.seal()

if __name__ == "__main__":
    fork = multiprocessing.get_context("fork")
    together = fork.Barrier({NUM_WORKERS})
    workers = [fork.Process(target=work, args=(i, together)) for i in range({NUM_WORKERS})]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * {NUM_WORKERS}
"""


def test_sixteen_processes_that_log_at_once_lose_nothing(
    server: Server, client: MlflowClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    experiment = client.create_experiment("workers")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "workers")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    answer = subprocess.run([sys.executable, "-c", WORKERS], capture_output=True, text=True, timeout=300, check=False)
    assert answer.returncode == 0, answer.stderr
    runs = client.search_runs([experiment])
    assert sorted(int(run.data.tags["worker"]) for run in runs) == list(range(NUM_WORKERS))
    for run in runs:
        number = int(run.data.tags["worker"])
        assert run.info.status == "FINISHED"
        assert run.data.params == {f"section.field_{i}": f"{number} {i}" for i in range(NUM_PARAMS)}
        for key, sign in (("loss", 1), ("accuracy", -1)):
            points = {(m.step, m.value) for m in client.get_metric_history(run.info.run_id, key)}
            assert points == {(step, number + sign * step / 64) for step in range(1, NUM_POINTS + 1)}
        folder = tmp_path / run.info.run_id
        folder.mkdir()
        files = download_verified(client, run, ["text.txt", "folder/array.npz"], folder)
        assert files["text.txt"].read_text() == str(number)


def test_a_bundle_goes_from_sqlite_into_the_database_and_comes_back_through_the_server_byte_for_byte(
    server: Server, client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    assert train_pair([*QUICK, "--shift=label_2080"]) == 0
    assert export(["--out=before.zip"]) == 0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.database)
    assert import_([f"--bundles={tmp_path}/before.zip", f"--artifacts={server.store}/artifacts"]) == 0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    assert export(["--out=after.zip", "--experiment=Default"]) == 0
    assert Path("after.zip").read_bytes() == Path("before.zip").read_bytes()
    pair = runs_of_kind(client, "pair")[0].info
    assert pair.artifact_uri == f"mlflow-artifacts:/0/{pair.run_id}/artifacts"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    flags = [f"--pair={pair.run_id}", "--num_alphas=3", "--device=cpu", "--threads=1"]
    joined = [sys.executable, "-m", "entry_points.interpolate", *flags]
    subprocess.run(joined, env=environment, check=True, timeout=300, stdout=subprocess.DEVNULL)
    assert runs_of_kind(client, "path")[0].data.tags["lmc.pair"] == pair.run_id


def test_the_backup_holds_the_tables_and_the_artifacts(server: Server) -> None:
    backup = next(block for block in blocks() if block.startswith("pg_dump"))
    type_in(backup, server.store, as_postgres=True)
    dump = server.store / "mlflow.dump"
    listing = subprocess.run(
        [shutil.which("pg_restore", path=PATH) or "", "--list", str(dump)], capture_output=True, text=True, check=True
    )
    assert "TABLE DATA public metrics" in listing.stdout
    assert (server.store / "artifacts.tar").stat().st_size > 0
