"""Shared fixtures: a tracking store in a folder of its own, and the flags of a quick training."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("RAY_worker_niceness", "0")  # at Ray's own 15 its workers starve beside other tests

import pytest
import torch
from campaign.table import judge as judge
from campaign.table import print_table
from mlflow import MlflowClient
from simulated_device import Machine, simulated_gpus

from lmc_mlflow import gpus

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "tests" / "simulated_device" / "process"
HAS_GPU = torch.cuda.is_available()
if HAS_GPU:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read at the first product of the process
torch.set_num_threads(1)

QUICK = [
    "--model=mlp_l1_w16",
    "--epochs=3",
    "--device=cpu",
    "--threads=1",
    "--c2st_samples=0",
]
"""Flags of a training that takes a second."""

TRAINING_MODULES = {
    "test_activation_matching",
    "test_bigearthnet",
    "test_channels_last",
    "test_data_parallel",
    "test_facts",
    "test_gpu",
    "test_gpu_training",
    "test_kill_resume",
    "test_notebooks",
    "test_path_engines",
    "test_ray",
    "test_repair_norm",
    "test_sinkhorn",
    "test_stacked",
    "test_star",
    "test_star_training",
    "test_startup",
    "test_symmetry",
    "test_training",
    "test_weight_matching",
    "test_workers",
}
"""Modules whose tests train networks, run large ones or start processes; so do all tests with a tracking store."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `.ci/fast` leaves out."""
    for item in items:
        has_store = bool({"store", "empty_store"} & set(getattr(item, "fixturenames", ())))
        if has_store or item.path.stem in TRAINING_MODULES:
            item.add_marker(pytest.mark.trains)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the campaign's table, and the files that took longest where `--durations` lists the tests that did."""
    print_table(terminalreporter)
    reports = [r for found in terminalreporter.stats.values() for r in found if hasattr(r, "duration")]
    seconds: Counter[str] = Counter()
    for report in reports:
        seconds[report.location[0]] += report.duration
    if terminalreporter.config.option.durations is not None:
        terminalreporter.section(f"slowest 30 of {len(seconds)} files, {sum(seconds.values()):.0f} s in all")
        for name, sum_of_seconds in seconds.most_common(30):
            terminalreporter.write_line(f"{sum_of_seconds:7.1f} s {name}")


@pytest.fixture(scope="session", autouse=True)
def no_gpu() -> Iterator[pytest.MonkeyPatch]:
    """Let all tests, and the processes that they start, see no GPU; those of the next fixture do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        patch.setattr(torch.cuda, "device_count", lambda: 0)
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        yield patch


def forget_gpus() -> None:
    """Forget which GPUs the product has tried in this process."""
    for function in (gpus.why_not, gpus.usable_gpus, gpus._log_once, gpus._warnings):
        function.cache_clear()


@pytest.fixture(autouse=True)
def gpu(request: pytest.FixtureRequest) -> Iterator[None]:
    """Give a test marked `gpu` the GPUs of this machine, or two simulated ones where it has none."""
    forget_gpus()
    if request.node.get_closest_marker("gpu") is None:
        yield
        return
    request.getfixturevalue("real_gpu" if HAS_GPU else "two_gpus")
    yield
    if torch.are_deterministic_algorithms_enabled():  # by a command, for the rest of its process
        torch.use_deterministic_algorithms(False)


@pytest.fixture
def real_gpu(no_gpu: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a test see the GPUs of this machine."""
    no_gpu.undo()
    yield
    no_gpu.setattr(torch.cuda, "is_available", lambda: False)
    no_gpu.setattr(torch.cuda, "device_count", lambda: 0)
    no_gpu.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Simulate two GPUs, also on a machine that has some: in this process, and in those that it starts."""
    monkeypatch.setenv("SIMULATED_GPUS", "2")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (SITE, ROOT / "tests", ROOT))))
    with simulated_gpus(2) as machine:
        yield machine


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a new SQLite store; tests copy it, because making one takes seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


def use_copy_of(source: Path, folder: Path, patch: pytest.MonkeyPatch) -> MlflowClient:
    """Copy a database into a folder, and make it the store of commands that run there, artifacts too."""
    database = folder / "mlflow.db"
    shutil.copy(source, database)
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE experiments SET artifact_location = ?", (str(folder / "mlruns" / "0"),))
    connection.close()
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    patch.chdir(folder)
    return MlflowClient(tracking_uri=f"sqlite:///{database}")


def use_copy_of_folder(source: Path, folder: Path, patch: pytest.MonkeyPatch) -> MlflowClient:
    """Copy a store with its artifacts into a folder, and make it the store of commands that run there."""
    shutil.copytree(source / "mlruns", folder / "mlruns")
    client = use_copy_of(source / "mlflow.db", folder, patch)
    with sqlite3.connect(folder / "mlflow.db") as connection:
        places = f"{source}/mlruns", f"{folder}/mlruns"
        connection.execute("UPDATE runs SET artifact_uri = replace(artifact_uri, ?, ?)", places)
    connection.close()
    return client


@pytest.fixture
def store(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """Provide an empty store in the folder of the test, which is also the working directory."""
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    return use_copy_of(empty_store, tmp_path, monkeypatch)


def command(name: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run an entry point as a process, as a user does; on simulated GPUs where the test has them."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.environ["PYTHONPATH"] if "SIMULATED_GPUS" in os.environ else str(ROOT),
    }
    return subprocess.run(
        [sys.executable, "-m", f"entry_points.{name}", *flags],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )


def runs_of_kind(client: MlflowClient, kind: str) -> list:
    """Return all runs of a kind in the default experiment, oldest first."""
    return client.search_runs(["0"], f"tags.`lmc.kind` = '{kind}'", order_by=["attributes.start_time ASC"])
