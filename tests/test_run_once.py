"""A run is looked up, opened or resumed, and closed in one place; progress is written and read back."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import requests
import torch
from conftest import runs_of_kind
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from lmc_mlflow.contract import KINDS, Kind
from lmc_mlflow.tracking.connection.store import open_store
from lmc_mlflow.tracking.locks import acquire, find_locks, hold_locks
from lmc_mlflow.tracking.processes.process import process_tags
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.lifecycle.previous_runs import RESUMED_KINDS, AtWorkError, find_previous
from lmc_mlflow.workflows.lifecycle.progress import LearningCurves, Progress, save_when_stopped
from lmc_mlflow.workflows.lifecycle.run_once import LOCKED_KINDS, RunStart, new_run, run_once

IDENTITY = {"lmc.fingerprint": "f", "lmc.data_digest": "d"}
START = RunStart("a name", {"lmc.model": "m"}, {"section.field": "1"}, ("first.txt", "text"))


def make(kind: str, force: bool = False, error: BaseException | None = None) -> tuple[str, str]:
    """Make a run, or find it; its id and how it came about."""
    with run_once(open_store(), kind, IDENTITY, force) as wanted:
        if wanted.finished is not None:
            return wanted.finished.info.run_id, wanted.how("made")
        run = wanted.open(START)
        if error is not None:
            raise error
    return run.run_id, wanted.how("made")


def artifacts(client: MlflowClient, run_id: str) -> set[str]:
    return {found.path for found in client.list_artifacts(run_id)}


def test_a_new_run_has_its_identity_tags_params_and_first_file_and_ends_with_a_manifest(store: MlflowClient) -> None:
    run_id, how = make(Kind.MATRIX)
    run = store.get_run(run_id)
    assert (run.info.run_name, run.info.status, how) == ("a name", "FINISHED", "made")
    assert {**IDENTITY, "lmc.model": "m", "lmc.kind": "matrix"}.items() <= run.data.tags.items()
    assert run.data.params == {"section.field": "1"}
    assert artifacts(store, run_id) == {"first.txt", "manifest.json"}


def test_a_run_says_with_how_many_threads_it_was_made(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 3, 3):  # begun by one process, continued by two others
        monkeypatch.setattr(torch, "get_num_threads", lambda number=number: number)
        with pytest.raises(KeyboardInterrupt):
            make(Kind.MATRIX, error=KeyboardInterrupt())
    (run,) = runs_of_kind(store, "matrix")
    assert run.data.tags["lmc.threads"] == "1, 3"


@pytest.mark.parametrize("kind", [*RESUMED_KINDS, Kind.PRUNED])
def test_what_is_finished_is_found_unless_it_is_forced(store: MlflowClient, kind: str) -> None:
    first, _ = make(kind)
    assert make(kind) == (first, "finished before")
    again, how = make(kind, force=True)
    assert (again != first, how) == (True, "made")
    assert len(runs_of_kind(store, kind)) == 2
    assert find_locks(open_store()) == []


@pytest.mark.parametrize("kind", [*RESUMED_KINDS, Kind.PRUNED])
def test_what_was_interrupted_is_resumed_where_its_kind_writes_progress(store: MlflowClient, kind: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        make(kind, error=KeyboardInterrupt())
    (stopped,) = runs_of_kind(store, kind)
    assert stopped.info.status == "KILLED"
    assert "manifest.json" not in artifacts(store, stopped.info.run_id)
    run_id, how = make(kind)
    resumed = kind in RESUMED_KINDS
    assert (run_id == stopped.info.run_id, how) == (resumed, "resumed" if resumed else "made")
    assert "manifest.json" in artifacts(store, run_id)


@pytest.mark.parametrize("kind", sorted({*KINDS} - {*RESUMED_KINDS, Kind.ENDPOINT}))
def test_what_a_killed_process_has_begun_ends_when_the_same_command_begins_it_again(
    store: MlflowClient, kind: str
) -> None:
    tags = {"lmc.kind": kind, **process_tags(), **START.tags, **IDENTITY, "lmc.process_started": "1.00"}
    dead = store.create_run("0", tags=tags, run_name=START.name).info.run_id
    others = [
        store.create_run("0", tags=tags | changed, run_name=name).info.run_id
        for changed, name in (
            (process_tags(), START.name),  # at work
            ({"lmc.model": "another"}, START.name),
            ({"lmc.fingerprint": "another"}, START.name),
            ({"lmc.kind": "my own"}, START.name),
            ({}, "another name"),
        )
    ]
    run_id, how = make(kind)
    assert (run_id != dead, how) == (True, "made")
    run = store.get_run(dead)
    assert run.info.status == "KILLED"
    assert run.data.tags["lmc.error"] == f"its process was gone; ended by the next {kind} of the same command"
    assert {store.get_run(other).info.status for other in others} == {"RUNNING"}


def test_a_dead_run_that_may_not_be_ended_stops_nothing(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tags = {"lmc.kind": "path", **process_tags(), **START.tags, **IDENTITY, "lmc.process_started": "1.00"}
    dead = store.create_run("0", tags=tags, run_name=START.name).info.run_id
    original = MlflowClient.set_tag

    def refusing(self: MlflowClient, run_id: str, *args: str) -> None:
        if run_id == dead:
            raise MlflowException("Permission denied")
        original(self, run_id, *args)

    monkeypatch.setattr(MlflowClient, "set_tag", refusing)
    assert make(Kind.PATH)[1] == "made"
    assert f"run {dead} is dead and could not be ended (Permission denied)" in caplog.text


@pytest.mark.parametrize(
    "error", [MlflowException("Permission denied"), requests.HTTPError("403"), OSError("read-only")]
)
def test_a_run_is_finished_where_its_progress_may_not_be_deleted(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def refuse(*_args: object) -> None:
        raise error

    monkeypatch.setattr(TrackedRun, "delete_artifacts", refuse)
    run_id, _ = make(Kind.PAIR)
    assert store.get_run(run_id).info.status == "FINISHED"
    assert f"run {run_id} keeps its folder resume/ ({error})" in caplog.text


def test_an_error_ends_the_run_failed_with_its_first_line(store: MlflowClient) -> None:
    with pytest.raises(ValueError, match="first"):
        make(Kind.PLANE, error=ValueError("first line\nsecond line"))
    (failed,) = runs_of_kind(store, "plane")
    assert (failed.info.status, failed.data.tags["lmc.error"]) == ("FAILED", "first line")


@pytest.mark.parametrize("kind", RESUMED_KINDS)
def test_a_run_that_a_living_process_writes_is_left_to_it(store: MlflowClient, kind: str) -> None:
    store.create_run("0", tags={"lmc.kind": kind, **IDENTITY, **process_tags()})
    with pytest.raises(AtWorkError, match="is at work on this configuration now"):
        make(kind)
    assert len(runs_of_kind(store, kind)) == 1


@pytest.mark.parametrize("kind", LOCKED_KINDS)
def test_a_locked_configuration_is_left_to_the_process_that_locked_it(store: MlflowClient, kind: str) -> None:
    opened = open_store()
    with hold_locks(opened) as lock:
        lock(f"{kind}-0-f-d")
        with pytest.raises(AtWorkError, match="another process is at work on this configuration now"):
            make(kind)
    assert runs_of_kind(store, kind) == []
    assert make(kind)[1] == "made"


def test_the_lock_of_finished_work_that_a_killed_process_has_left_is_removed(store: MlflowClient) -> None:
    made, _ = make(Kind.PAIR)
    lock = acquire(open_store(), "pair-0-f-d")  # as if it had been killed before it deleted it
    assert make(Kind.PAIR) == (made, "finished before")
    assert len(find_locks(open_store())) == 1  # its process, this one, lives
    store.set_registered_model_tag(lock.name, "lmc.process_started", "1.00")
    assert make(Kind.PAIR) == (made, "finished before")
    assert find_locks(open_store()) == []


def test_the_run_that_is_named_by_the_launcher_says_where_to_look(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (store.create_run("0").info.run_id for _ in range(2))
    monkeypatch.setenv("MLFLOW_RUN_ID", first)
    made, how = make(Kind.MATRIX)
    assert (made != first, how) == (True, "made")
    monkeypatch.setenv("MLFLOW_RUN_ID", second)
    assert make(Kind.MATRIX) == (made, "finished before")
    assert [store.get_run(run).data.tags["lmc.see"] for run in (first, second)] == [made, made]
    assert "mlflow.parentRunId" not in store.get_run(first).data.tags  # `mlflow run` has not started it


@pytest.mark.parametrize(
    ("left", "why"),
    [
        ("finished", "is over"),
        ("result", "is a result, of kind pair"),
        ("at work", "is a result, of kind pair"),
        ("deleted", "is deleted"),
        ("0" * 32, "cannot be read (Run with id=" + "0" * 32 + " not found)"),
        ("no id", 'cannot be read (Invalid value "no id" for parameter'),
    ],
)
def test_a_run_that_the_environment_names_still_is_left_alone_with_a_warning(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, left: str, why: str
) -> None:
    named = left
    if left in ("finished", "result", "at work", "deleted"):
        tags = {"lmc.kind": "pair"} if left in ("result", "at work") else {}
        named = store.create_run("0", tags=tags).info.run_id
        if left in ("finished", "result"):
            store.set_terminated(named)
        if left == "deleted":
            store.delete_run(named)
    before = store.get_run(named) if named != left else None
    for _ in range(2):
        monkeypatch.setenv("MLFLOW_RUN_ID", named)
        assert make(Kind.PATH, force=True)[0] != named
        assert f"MLFLOW_RUN_ID={named}: this run {why}" in caplog.text
    assert len(caplog.records) == 2  # one line for each command
    if before is not None:
        assert store.get_run(named).to_dictionary() == before.to_dictionary()


def test_a_command_that_makes_a_new_run_each_time_does_not_look(store: MlflowClient) -> None:
    for _ in range(2):
        with new_run(open_store(), Kind.PATH, START):
            pass
    assert [run.info.status for run in runs_of_kind(store, "path")] == ["FINISHED", "FINISHED"]
    assert find_previous(open_store(), Kind.PATH, {"lmc.model": "m"}).finished is not None


@pytest.fixture
def run(store: MlflowClient) -> TrackedRun:
    return TrackedRun(store, store.create_run("0").info.run_id, "0")


def test_progress_is_read_back_by_another_process_and_written_when_it_is_time(run: TrackedRun) -> None:
    first = Progress(run, every=1000)
    assert first.known() == {}
    first.add({"1/x": np.array([0.5, 1.5])})
    assert Progress(run).known() == {}  # it is not time yet
    with pytest.raises(KeyboardInterrupt), save_when_stopped(first):
        raise KeyboardInterrupt
    second = Progress(run, every=0)
    assert second.known()["1/x"].tolist() == [0.5, 1.5]
    second.add({"2/x": np.array(3)})
    third = Progress(run).known()
    assert set(third) == {"1/x", "2/x"}
    assert int(third["2/x"]) == 3


def test_progress_that_was_cut_short_leaves_what_was_written_before(run: TrackedRun, tmp_path: Path) -> None:
    progress = Progress(run, every=0)
    progress.add({"1": np.zeros(2)})
    progress.add({"2": np.zeros(2)})
    newest = max((tmp_path / "mlruns").rglob("slot_*.safetensors"), key=lambda path: path.stat().st_size)
    newest.write_bytes(newest.read_bytes()[:20])
    assert set(Progress(run).known()) == {"1"}


def test_an_epoch_that_an_interrupted_process_has_logged_is_not_logged_twice(
    store: MlflowClient, run: TrackedRun
) -> None:
    LearningCurves(run, resumed=False).log(1, {"a": 1.0})
    LearningCurves(run, resumed=True).log(1, {"a": 1.0, "b": 2.0})
    assert [len(store.get_metric_history(run.run_id, key)) for key in "ab"] == [1, 1]


def test_progress_that_cannot_be_saved_does_not_hide_the_signal(
    run: TrackedRun, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    progress = Progress(run, every=1000)
    progress.add({"1": np.zeros(2)})
    monkeypatch.setattr(run, "log_scratch", lambda *_: (_ for _ in ()).throw(OSError("the server is away")))
    with pytest.raises(KeyboardInterrupt), save_when_stopped(progress):
        raise KeyboardInterrupt
    assert "progress since the last save is lost: it could not be written (the server is away)" in caplog.text


def test_a_list_that_no_param_can_hold_is_logged_as_its_length_and_digest(run: TrackedRun, caplog) -> None:
    ids = [f"{i:032x}" for i in range(250)]
    run.log_params({"members.runs": ",".join(ids), "members.few": ",".join(ids[:100])})
    params = run.client.get_run(run.run_id).data.params
    digest = hashlib.sha256(",".join(ids).encode()).hexdigest()[:16]
    assert params["members.runs"] == f"250 values, sha256 {digest} (an artifact of the run lists them)"
    assert params["members.few"] == ",".join(ids[:100])
    assert caplog.records == []
