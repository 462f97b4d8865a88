"""What several devices measure together equals what one measures, to the last bit."""

import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from conftest import QUICK, ROOT, runs_of_kind
from mlflow import MlflowClient

from entry_points.ensemble import main as ensemble
from entry_points.interpolate import main as interpolate
from entry_points.matrix import main as matrix
from entry_points.plane import main as plane
from entry_points.train_pair import main as train_pair
from lmc_mlflow.config.runtime import DevicesConfig, RuntimeConfig
from lmc_mlflow.workers import spread
from lmc_mlflow.workers.pool import Call, Ended, ProcessPool
from lmc_mlflow.workers.worker_process import answer
from lmc_mlflow.workflows.lifecycle import devices
from lmc_mlflow.workflows.lifecycle.devices import prepare_devices, share_work

ONE, TWO = ["--device=cpu", "--threads=1"], ["--devices=cpu,cpu", "--threads=1"]


class PicklingPool:
    """A pool whose places are in this process; everything passes through pickles, and the last call ends first."""

    def __init__(self, environments: list[dict[str, str]]) -> None:
        self._num_places = len(environments)
        self._ended: list[Ended] = []

    def free(self) -> list[int]:
        return [place for place in range(self._num_places) if place not in [one.key for one in self._ended]]

    def submit(self, place: int, call: Call) -> None:
        self._ended.append(Ended(place, pickle.loads(answer(pickle.loads(pickle.dumps(call)))[0])))

    def finished(self, seconds: float) -> list[Ended]:
        ended, self._ended = self._ended[::-1], []
        return ended

    def close(self) -> None:
        spread._MEASURERS.clear()


@pytest.fixture(scope="module")
def filled(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowClient]:
    """Four networks with batch norm: two pairs, whose sides hold other classes."""
    folder = tmp_path_factory.mktemp("devices")
    shutil.copy(empty_store, folder / "mlflow.db")
    with sqlite3.connect(folder / "mlflow.db") as connection:
        connection.execute("UPDATE experiments SET artifact_location = ?", (str(folder / "mlruns" / "0"),))
    connection.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.chdir(folder)
        flags = ["--model=mlp_l2_w12_8_bn", "--init=different", "--shift=label_2080", "--seeds=1,20"]
        assert train_pair([*QUICK, *flags]) == 0
        yield MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture
def pickling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "ProcessPool", PicklingPool)


def ids(client: MlflowClient) -> list[str]:
    return [run.info.run_id for run in runs_of_kind(client, "endpoint")]


def workers_of_this_process() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if "lmc_mlflow.workers.worker_process" in p.cmdline()]


def content(client: MlflowClient, kind: str, place: int) -> dict[str, Any]:
    """Everything that the newest run but `place` of a kind has logged, apart from times."""
    run = runs_of_kind(client, kind)[place]
    found: dict[str, Any] = {k: v for k, v in run.data.metrics.items() if "cost/" not in k}
    found["tags"] = {k: v for k, v in run.data.tags.items() if k in ("lmc.engine", "lmc.threads", "lmc.converged")}
    folders, files = [""], []
    while folders:
        for one in client.list_artifacts(run.info.run_id, folders.pop()):
            (folders if one.is_dir else files).append(one.path)
    for path in sorted(files):
        if path.endswith((".csv", ".json", ".npz")) and path != "manifest.json":
            local = client.download_artifacts(run.info.run_id, path)
            if path.endswith(".npz"):
                with np.load(local) as arrays:
                    found |= {f"{path}/{name}": array.tobytes() for name, array in arrays.items()}
            else:
                found[path] = Path(local).read_bytes()
    return found


def assert_equal_on_two(client: MlflowClient, kind: str, command: Any, flags: list[str]) -> None:
    assert command([*flags, *ONE]) == 0
    assert command([*flags, *TWO]) == 0
    one, two = content(client, kind, -2), content(client, kind, -1)
    assert list(one) == list(two)
    assert [name for name in one if one[name] != two[name]] == []
    assert len(one) > 10


@pytest.mark.usefixtures("pickling")
@pytest.mark.parametrize(
    "flags",
    [
        ["--bn=interpolate"],
        ["--bn=nearest", "--align=weights"],
        ["--bn=recalibrate", "--align=activations", "--reference=best"],
        ["--bn=repair", "--align=weights", "--max_sweeps=1"],
    ],
)
def test_a_matrix_on_two_devices_equals_one_on_one(filled: MlflowClient, flags: list[str]) -> None:
    wanted = [f"--runs={','.join(ids(filled))}", "--num_alphas=5", "--force=true", *flags]
    assert_equal_on_two(filled, "matrix", matrix, wanted)


@pytest.mark.usefixtures("pickling")
@pytest.mark.parametrize("flags", [["--bn=recalibrate", "--align=activations"], ["--bn=interpolate"]])
def test_a_plane_on_two_devices_equals_one_on_one(filled: MlflowClient, flags: list[str]) -> None:
    corners = [f"--run_{name}={run_id}" for name, run_id in zip("abc", ids(filled), strict=False)]
    assert_equal_on_two(filled, "plane", plane, [*corners, "--num_points=4", "--force=true", *flags])


@pytest.mark.usefixtures("pickling")
@pytest.mark.parametrize(
    "flags",
    [
        ["--bn=interpolate", "--align=weights", "--num_resamples=50", "--keep_samples=true"],
        ["--bn=nearest", "--alphas=adaptive", "--alpha_tolerance=0.01"],
        ["--bn=recalibrate", "--align=activations", "--path_engine=exact", "--splits=test"],
        ["--bn=repair", "--align=weights", "--num_alphas=9"],
    ],
)
def test_paths_on_two_devices_equal_those_on_one(filled: MlflowClient, flags: list[str]) -> None:
    a, _, b, _ = ids(filled)
    assert_equal_on_two(filled, "path", interpolate, [f"--run_a={a}", f"--run_b={b}", *flags])


@pytest.mark.usefixtures("pickling")
def test_ensembles_on_two_devices_equal_those_on_one(filled: MlflowClient) -> None:
    pair = runs_of_kind(filled, "pair")[0].info.run_id
    for flags in ([f"--pair={pair}", "--bn=recalibrate", "--num_alphas=6"], [f"--runs={','.join(ids(filled))}"]):
        assert ensemble([*flags, *TWO]) == 0  # before one device does, whose predictions would be read back
        for run_id in [pair, *ids(filled)]:
            folder = Path(filled.get_run(run_id).info.artifact_uri) / "predictions"
            shutil.rmtree(folder, ignore_errors=True)
        assert ensemble([*flags, *ONE]) == 0
        two, one = content(filled, "ensemble", -2), content(filled, "ensemble", -1)
        assert [name for name in one if one[name] != two[name]] == []
        assert one["num_cached_members"] == 0


@pytest.mark.gpu
@pytest.mark.usefixtures("pickling")
def test_two_gpus_measure_what_one_measures(filled: MlflowClient) -> None:
    a, b, c, _ = ids(filled)
    ends, corners = [f"--run_a={a}", f"--run_b={c}"], [f"--run_a={a}", f"--run_b={b}", f"--run_c={c}"]
    pair = f"--pair={runs_of_kind(filled, 'pair')[0].info.run_id}"
    for kind, command, flags in (
        ("matrix", matrix, [f"--runs={a},{b},{c}", "--num_alphas=3", "--align=weights", "--bn=repair", "--force=true"]),
        ("path", interpolate, [*ends, "--num_alphas=5", "--bn=recalibrate", "--align=activations"]),
        ("plane", plane, [*corners, "--num_points=3", "--force=true"]),
        ("ensemble", ensemble, [pair, "--bn=recalibrate", "--num_alphas=4"]),
    ):
        for where in ("--device=cuda:0", "--devices=all"):
            assert command([*flags, where, "--threads=1"]) == 0
            shutil.rmtree(Path(filled.get_run(pair[7:]).info.artifact_uri) / "predictions", ignore_errors=True)
        one, two = content(filled, kind, -2), content(filled, kind, -1)
        assert [name for name in one if one[name] != two[name]] == []


def test_a_killed_worker_costs_its_own_part_of_a_matrix(
    filled: MlflowClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, killed = ProcessPool.submit, list[int]()

    def submit_and_kill_the_first(pool: ProcessPool, place: int, call: Call) -> None:
        submit(pool, place, call)  # a worker that dies before has no part to lose
        if not killed:
            worker = workers_of_this_process()[0]
            killed.append(worker.pid)
            worker.kill()

    monkeypatch.setattr(ProcessPool, "submit", submit_and_kill_the_first)
    wanted = [f"--runs={','.join(ids(filled))}", "--num_alphas=3", "--force=true"]
    assert matrix([*wanted, *TWO]) == 0
    (line,) = [message for message in caplog.messages if "is computed again" in message]
    assert line.endswith(f"its worker process {killed[0]} was killed by SIGKILL")
    assert workers_of_this_process() == []
    assert matrix([*wanted, *ONE]) == 0
    two, one = content(filled, "matrix", -2), content(filled, "matrix", -1)
    assert [name for name in one if one[name] != two[name]] == []


STOPPED_AFTER_A_PAIR = """
import os, signal, sys
import psutil
from entry_points.matrix import main
from lmc_mlflow.workflows.lifecycle.progress import Progress
add = Progress.add
def add_and_stop(progress, item):
    add(progress, item)
    print("workers", *[process.pid for process in psutil.Process().children()], flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
Progress.add = add_and_stop
sys.exit(main())
"""


@pytest.mark.slow
def test_a_stopped_matrix_stops_its_workers_and_goes_on_from_the_pairs_that_it_had(
    filled: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [f"--runs={','.join(ids(filled))}", "--num_alphas=5", "--bn=repair"]
    command = [sys.executable, "-c", STOPPED_AFTER_A_PAIR, *wanted, *TWO]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 130, done.stderr
    assert done.stderr.splitlines()[-1] == "matrix: stopped; give the same command again to go on"
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("workers ")]
    workers = [int(number) for number in line.split()[1:]]
    assert len(workers) >= 2
    assert not any(map(psutil.pid_exists, workers))
    stopped = runs_of_kind(filled, "matrix")[-1]
    assert stopped.info.status == "KILLED"
    given, original = list[int](), spread.Here.map
    monkeypatch.setattr(
        spread.Here, "map", lambda here, how, tasks: given.append(len(tasks)) or original(here, how, tasks)
    )
    assert matrix([*wanted, *ONE]) == 0  # on another number of devices
    assert given == [4, 5]  # networks, and the pairs that were left
    resumed = filled.get_run(stopped.info.run_id)
    assert (resumed.info.status, resumed.data.metrics["num_pairs"]) == ("FINISHED", 6)


@pytest.mark.parametrize(
    ("runtime", "sharing", "line"),
    [
        ({}, {"devices": ("all",)}, "devices=all: no GPU of this machine computes; leave it out, or name cpu,cpu"),
        ({"device": "cpu"}, {"devices": ("cpu", "cpu")}, "give either device=cpu or devices=cpu,cpu"),
        ({}, {"devices": ("cpu", "ray")}, "devices=cpu,ray: give all or ray alone, or names such as cuda:0,cuda:1"),
        ({}, {"devices": ("cpu", "tpu")}, "device='tpu': choose auto, cpu, cuda or cuda:N"),
        ({}, {"devices": ("cpu", "cpu"), "address": "auto"}, "address=auto: it belongs to devices=ray; leave it out"),
    ],
)
def test_what_cannot_be_shared_is_refused_in_one_line(
    runtime: dict[str, Any], sharing: dict[str, Any], line: str
) -> None:
    with pytest.raises(ValueError) as refused:
        share_work(RuntimeConfig(**runtime), DevicesConfig(**sharing))
    assert str(refused.value) == line


def test_processes_share_the_cores_and_one_device_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "num_cores", lambda: 7)
    monkeypatch.setattr(devices, "prepare_machine", lambda config: devices.CPU)
    assert [one.threads for one in share_work(RuntimeConfig(), DevicesConfig(("cpu", "cpu"))).runtimes] == [3, 3]
    three = share_work(RuntimeConfig(threads=4), DevicesConfig(("cpu",) * 3))
    assert [one.threads for one in three.runtimes] == [4, 4, 4]
    assert share_work(RuntimeConfig(), DevicesConfig(("cpu",))).runtimes == ()
    assert len(prepare_devices(RuntimeConfig(), ("cpu", "cpu"))) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_nodes_of_a_ray_cluster_measure_what_one_device_measures(
    filled: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    wanted = [f"--runs={','.join(ids(filled))}", "--num_alphas=3", "--align=weights", "--force=true", "--threads=1"]
    assert matrix([*wanted, "--devices=ray"]) == 0
    assert matrix([*wanted, "--device=cpu"]) == 0
    two, one = content(filled, "matrix", -2), content(filled, "matrix", -1)
    assert [name for name in one if one[name] != two[name]] == []
    assert matrix([*wanted, "--devices=ray", "--address=127.0.0.1:1"]) == 1
    assert "address='127.0.0.1:1': no Ray cluster answers there" in capsys.readouterr().err
