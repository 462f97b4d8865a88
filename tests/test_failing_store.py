"""A store that fails: commands wait where that may pass, else one line, no run left RUNNING, and a whole next start."""

import errno
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from entry_points.train_pair import main as train_pair
from entry_points.trajectory import main as trajectory
from lmc_mlflow.contract import Kind
from lmc_mlflow.query.networks import by_side, endpoints_of_pair
from lmc_mlflow.tracking.connection import client as client_module
from lmc_mlflow.tracking.connection.client import PatientClient, StoreError, impatient_client
from lmc_mlflow.tracking.connection.store import open_store
from lmc_mlflow.tracking.locks import acquire, find_locks
from lmc_mlflow.tracking.processes.process import is_alive, process_tags
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.lifecycle.run_once import RunStart, run_once
from lmc_mlflow.workflows.pair.recorder import Recorder

LOCKED = MlflowException("(sqlite3.OperationalError) database is locked", error_code=1)
FULL = OSError(errno.ENOSPC, "No space left on device")


def at_epoch_2(patch: pytest.MonkeyPatch, do: Callable[[Recorder], None]) -> None:
    """Let something happen after the second epoch of a training, once."""
    original = Recorder.on_epoch

    def on_epoch(self: Recorder, epoch: int, reports: Any) -> None:
        original(self, epoch, reports)
        if epoch == 2:
            patch.setattr(Recorder, "on_epoch", original)
            do(self)

    patch.setattr(Recorder, "on_epoch", on_epoch)


def epochs_of(client: MlflowClient, run_id: str) -> list[int]:
    return sorted(point.step for point in client.get_metric_history(run_id, "train/loss"))


@pytest.mark.parametrize("what", ["pair", "A", "B"])
def test_a_run_deleted_in_mid_training_ends_killed_and_the_next_start_is_whole(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    def delete(_: Recorder) -> None:
        found = runs_of_kind(store, "pair") + runs_of_kind(store, "endpoint")
        (deleted,) = [run for run in found if run.data.tags.get("lmc.side", "pair") == what]
        store.delete_run(deleted.info.run_id)

    at_epoch_2(monkeypatch, delete)
    assert train_pair([*QUICK, "--checkpoint_every=1"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "was deleted while it was written; give the same command to begin anew" in error
    everything = store.search_runs(["0"], "tags.`lmc.kind` != ''", run_view_type=3)
    assert sorted((run.info.status, run.info.lifecycle_stage) for run in everything) == [
        ("KILLED", "active"),
        ("KILLED", "active"),
        ("KILLED", "deleted"),
    ]

    assert train_pair([*QUICK, "--checkpoint_every=1"]) == 0
    (pair,) = [run for run in runs_of_kind(store, "pair") if run.info.status == "FINISHED"]
    for run_id in (pair.info.run_id, *endpoints_of_pair(store, pair.info.run_id)):
        assert epochs_of(store, run_id) == [1, 2, 3]


def test_a_pair_whose_artifact_folder_vanishes_is_not_finished_and_can_be_repeated(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    at_epoch_2(monkeypatch, lambda _: shutil.rmtree(tmp_path / "mlruns"))
    assert train_pair(QUICK) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "is not in the store as it was logged" in error
    statuses = [run.info.status for run in store.search_runs(["0"])]
    assert statuses == ["FAILED"] * 3
    assert train_pair(QUICK) == 0
    statuses = [run.info.status for run in store.search_runs(["0"])]
    assert statuses == ["FINISHED"] * 3


def test_an_artifact_that_was_altered_after_it_was_logged_keeps_its_run_from_being_finished(
    store: MlflowClient,
) -> None:
    run = TrackedRun(store, store.create_run("0").info.run_id, "0")
    run.log_text("whole", "folder/note.txt")
    (Path(store.get_run(run.run_id).info.artifact_uri) / "folder" / "note.txt").write_text("cut")
    with pytest.raises(StoreError, match=r"its artifact folder/note\.txt is not in the store as it was logged"):
        run.seal()


def test_progress_that_cannot_be_deleted_does_not_fail_a_finished_run(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any) -> None:
        raise MlflowException("403: permission denied")

    monkeypatch.setattr(TrackedRun, "delete_artifacts", refuse)
    with run_once(open_store(), Kind.MATRIX, {"lmc.fingerprint": "f"}) as wanted:
        run = wanted.open(RunStart("a name"))
    assert store.get_run(run.run_id).info.status == "FINISHED"
    assert "keeps its folder resume/ (403: permission denied)" in caplog.text


def failing(patch: pytest.MonkeyPatch, name: str, errors: list[Exception], after: bool = False) -> list[str]:
    """Let a method of MLflow's client fail with each error in turn, before its work or after it; calls are listed."""
    original, calls = getattr(MlflowClient, name), []

    def method(self: MlflowClient, *args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        answer = original(self, *args, **kwargs) if after or not errors else None
        if errors:
            raise errors.pop(0)
        return answer

    patch.setattr(MlflowClient, name, method)
    return calls


@pytest.fixture
def patient(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> PatientClient:
    """A client of the store for whom no time passes while it waits, but is counted: a second at each look."""
    clock = itertools.count()
    monkeypatch.setattr(client_module.time, "sleep", lambda _: None)
    monkeypatch.setattr(client_module.time, "monotonic", lambda: float(next(clock)))
    return PatientClient(store.tracking_uri)


@pytest.mark.parametrize(
    ("error", "words"),
    [(LOCKED, "another process has locked the database"), (FULL, "the disk is full; free some space")],
)
def test_a_client_waits_for_what_may_pass_and_says_so_once(
    patient: PatientClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    words: str,
) -> None:
    run_id = patient.create_run("0").info.run_id
    calls = failing(monkeypatch, "set_tag", [error] * 3)
    patient.set_tag(run_id, "written", "in the end")
    assert len(calls) == 4
    assert patient.get_run(run_id).data.tags["written"] == "in the end"
    (record,) = caplog.records
    assert words in record.message
    assert record.message.endswith("waiting, for 10 minutes more")


def test_a_client_gives_up_after_ten_minutes_with_one_line(
    patient: PatientClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing(monkeypatch, "set_tag", [LOCKED] * 1000)
    with pytest.raises(StoreError, match=r"locked the database.* for 10 minutes; .* the same command again") as caught:
        patient.set_tag("0" * 32, "written", "never")
    assert "\n" not in str(caught.value)
    assert 9 <= len(caplog.records) <= 11  # one a minute


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "http://127.0.0.1:1"])
def test_what_does_not_pass_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    calls = failing(monkeypatch, "get_run", [MlflowException("no such run", error_code=1001)] * 2)
    with pytest.raises(MlflowException, match="no such run"):
        PatientClient(uri).get_run("0" * 32)
    assert len(calls) == 1


def test_a_command_that_ends_does_not_wait(patient: PatientClient, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = failing(monkeypatch, "get_run", [LOCKED] * 2)
    with impatient_client(), pytest.raises(MlflowException, match="locked"):
        patient.get_run("0" * 32)
    assert len(calls) == 1


def test_a_run_whose_answer_was_lost_is_found_instead_of_made_again(
    patient: PatientClient, store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = failing(monkeypatch, "create_run", [LOCKED], after=True)
    run = patient.create_run("0", tags={"lmc.kind": "endpoint", "lmc.side": "A"}, run_name="a name")
    assert len(calls) == 1
    (only,) = store.search_runs(["0"])
    assert only.info.run_id == run.info.run_id


def test_a_lock_whose_answer_was_lost_is_held_and_not_waited_for(
    patient: PatientClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, "create_registered_model", [LOCKED], after=True)
    mine = acquire(open_store(), "some-work")
    assert [lock.name for lock in find_locks(open_store())] == [mine.name]


def test_of_two_runs_of_a_side_the_one_with_something_in_it_counts(store: MlflowClient) -> None:
    full, ghost = (store.create_run("0", tags={"lmc.side": "A"}).info.run_id for _ in range(2))
    store.log_metric(full, "train/loss", 1.0)
    runs = [store.get_run(run_id) for run_id in (full, ghost)]
    assert by_side(runs)["A"].info.run_id == by_side(runs[::-1])["A"].info.run_id == full
    store.set_terminated(ghost)
    assert by_side([store.get_run(run_id) for run_id in (full, ghost)])["A"].info.run_id == ghost


def test_a_trajectory_does_not_average_what_is_left_of_its_epochs(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_pair(QUICK) == 0
    start = runs_of_kind(store, "endpoint")[0].info.run_id
    flags = [f"--run={start}", "--epochs=2", "--device=cpu", "--threads=1"]
    with monkeypatch.context() as patch:
        patch.setattr("lmc_mlflow.workflows.trajectory.trajectory._log_average", failing_average)
        assert trajectory(flags) == 1
    (first,) = store.search_runs(["0"], "tags.`lmc.epoch` = '4'")
    store.delete_run(first.info.run_id)
    capsys.readouterr()
    assert trajectory(flags) == 1
    assert "the networks of epochs 4 were deleted; restore their runs in the UI" in capsys.readouterr().err
    store.restore_run(first.info.run_id)
    assert trajectory(flags) == 0


def failing_average(*_: Any) -> None:
    raise ValueError("stopped before the average")


@pytest.mark.parametrize(("minutes", "alive"), [(0, True), (6, False)])
def test_a_process_of_another_container_of_this_name_is_judged_by_its_heartbeat(
    monkeypatch: pytest.MonkeyPatch, minutes: int, alive: bool
) -> None:
    there = {**process_tags(), "lmc.pid_namespace": "1", "lmc.pid": "1", "lmc.process_started": "1.00"}
    assert is_alive({**there, "lmc.heartbeat": heartbeat_before(minutes)}) is alive
    del there["lmc.pid_namespace"]  # as earlier versions wrote it
    assert not is_alive(there)


def heartbeat_before(minutes: int) -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat(timespec="seconds")
