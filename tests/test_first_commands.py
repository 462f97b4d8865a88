"""Commands that start at the same moment on a new or empty database do not disturb each other."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from lmc_mlflow.tracking.connection.new_database import sole_maker
from lmc_mlflow.tracking.connection.store import client_of, open_store
from lmc_mlflow.tracking.run import TrackedRun


def test_a_process_waits_while_another_makes_the_tables(tmp_path: Path) -> None:
    database = tmp_path / "new folder" / "mlflow.db"
    uri, happened, inside = f"sqlite:///{database}", [], threading.Event()

    def second() -> None:
        inside.wait(5)
        with sole_maker(uri):
            happened.append(f"second sees {database.read_text()}")

    waiting = threading.Thread(target=second)
    waiting.start()
    with sole_maker(uri):
        database.write_text("half")
        inside.set()
        waiting.join(0.2)
        happened.append("first is done")
        database.write_text("tables")
    waiting.join(5)
    assert happened == ["first is done", "second sees tables"]
    assert list(database.parent.iterdir()) == [database]  # no lock file is left


def test_a_lock_file_that_a_killed_process_has_left_is_taken_over(tmp_path: Path) -> None:
    database, left = tmp_path / "mlflow.db", tmp_path / ".mlflow.db.new"
    left.touch()
    database.write_text("half")
    with sole_maker(f"sqlite:///{database}"):
        assert left.exists()
    assert not left.exists()


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:1", "sqlite://", "sqlite:///:memory:", "./mlruns", "postgresql://x/y"]
)
def test_what_is_no_sqlite_file_is_not_locked(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with sole_maker(uri):
        assert list(tmp_path.iterdir()) == []


def test_a_new_database_is_made_by_the_first_client_and_the_lock_file_is_gone(tmp_path: Path) -> None:
    client_of(f"sqlite:///{tmp_path}/mlflow.db").create_run("0")
    assert [path.name for path in tmp_path.iterdir() if "mlflow.db" in path.name] == ["mlflow.db"]


def fails_once(original: Callable[..., Any], error: MlflowException) -> Callable[..., Any]:
    """Do what is asked for, as another process has done, and fail as the second of the two."""
    failed: list[bool] = []

    def called(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if failed:
            return result
        failed.append(True)
        raise error

    return called


def test_two_processes_log_a_data_set_for_the_first_time(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    run = TrackedRun(store, store.create_run("0").info.run_id, "0")
    taken = MlflowException("UNIQUE constraint failed: datasets.experiment_id, datasets.name, datasets.digest")
    monkeypatch.setattr(store, "log_inputs", fails_once(store.log_inputs, taken))
    run.log_dataset("digits test", "d", ("code", {}), {"num_images": 3}, "test")
    (found,) = store.get_run(run.run_id).inputs.dataset_inputs
    assert found.dataset.name == "digits test"


def test_two_processes_create_an_experiment(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "new")
    taken = MlflowException("Experiment(name=new) already exists.", error_code=3001)
    monkeypatch.setattr(MlflowClient, "create_experiment", fails_once(MlflowClient.create_experiment, taken))
    assert store.get_experiment(open_store().experiment_id).name == "new"
