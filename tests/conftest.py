"""Shared fixtures: a tracking store in a folder of its own, and the flags of a quick training."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("RAY_worker_niceness", "0")  # at Ray's own 15 its workers starve beside other tests

import pytest
import torch
from campaign.table import judge as judge
from campaign.table import pytest_terminal_summary as pytest_terminal_summary
from mlflow import MlflowClient

ROOT = Path(__file__).resolve().parent.parent
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
    "test_facts",
    "test_gpu",
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


@pytest.fixture
def store(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """Provide an empty store in the folder of the test, which is also the working directory."""
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    return use_copy_of(empty_store, tmp_path, monkeypatch)


def command(name: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run an entry point as a process, as a user does."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
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
