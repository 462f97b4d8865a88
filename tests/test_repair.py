"""`repair` survives whatever stands in the store: it names what it cannot judge or change, and does the rest."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from entry_points.repair import main as repair
from lmc_mlflow.tracking.connection.store import StoreError, open_store
from lmc_mlflow.tracking.locks import PATIENCE_SECONDS, acquire, find_locks
from lmc_mlflow.tracking.processes.process import has_process, process_tags
from lmc_mlflow.workflows import dead_launchers

OLD = "2020-01-01T00:00:00+00:00"
STRANGE: list[tuple[str, str | None]] = [
    *((f"lmc.{name}", None) for name in ("host", "pid", "process_started", "heartbeat")),
    *(("lmc.pid", value) for value in ("abc", "-1", "0", "9" * 30, "1.5")),
    *(("lmc.process_started", value) for value in ("abc", "nan", "inf")),
    *(("lmc.heartbeat", value) for value in ("yesterday", "2020-01-01T00:00:00")),
]
"""Tag of a process, and a value that none of ours writes; None: the tag is missing."""


def dead_run(client: MlflowClient, kind: str = "pair", **changed: str | None) -> str:
    """Log a run of another machine whose heartbeat is old, with some tags changed."""
    tags: dict[str, str | None] = {**process_tags(), "lmc.host": "another", "lmc.heartbeat": OLD, "lmc.kind": kind}
    kept = {name: value for name, value in (tags | changed).items() if value is not None}
    return str(client.create_run("0", tags=kept, run_name=kind).info.run_id)


def status(client: MlflowClient, run_id: str) -> str:
    return str(client.get_run(run_id).info.status)


@pytest.mark.parametrize(("tag", "value"), STRANGE)
def test_a_run_that_no_process_of_ours_wrote_is_named_and_the_others_are_ended(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], tag: str, value: str | None
) -> None:
    strange = dead_run(store, **{tag: value})
    dead = dead_run(store)
    assert repair(["--apply=true"]) == 0
    told = capsys.readouterr().out
    assert re.search(f"left alone: pair {strange} pair says RUNNING, but .*{tag}", told)
    assert "1 runs ended as KILLED; 0 alive and left alone" in told
    assert (status(store, strange), status(store, dead)) == ("RUNNING", "KILLED")


def test_a_run_of_a_user_s_own_kind_is_left_alone(store: MlflowClient) -> None:
    theirs = dead_run(store, kind="my own kind")
    assert repair(["--apply=true"]) == 0
    assert status(store, theirs) == "RUNNING"


def test_models_that_are_named_like_locks_are_left_alone(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = open_store()
    dead = acquire(opened, "work")
    store.set_registered_model_tag(dead.name, "lmc.process_started", "1.00")
    names = ["lmc-claim-", "lmc-claim-x", "lmc-claim-work-1.5", "lmc-claim-no-tags-0"]
    for name in names:
        store.create_registered_model(name)
    assert repair(["--apply=true"]) == 0
    told = capsys.readouterr().out
    assert all(f"left alone: registered model {name} is no lock" in told for name in names)
    assert sorted(model.name for model in store.search_registered_models()) == sorted(names)
    assert find_locks(opened) == []


def test_a_lock_whose_name_another_has_taken_is_refused_after_a_while(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PATIENCE_SECONDS == 10
    monkeypatch.setattr("lmc_mlflow.tracking.locks.PATIENCE_SECONDS", 0.1)
    store.create_registered_model("lmc-claim-work-0")
    with pytest.raises(StoreError, match="lmc-claim-work-0 is no lock of ours but has its name; rename it"):
        acquire(open_store(), "work")


def test_what_the_server_does_not_allow_is_named_and_the_others_are_repaired(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign, mine = dead_run(store), dead_run(store)
    pair = store.create_run("0", tags={"lmc.kind": "pair"}).info.run_id
    ends = [
        store.create_run("0", tags={"lmc.kind": "endpoint", "mlflow.parentRunId": pair}).info.run_id for _ in range(2)
    ]
    for run_id in ends:
        store.set_terminated(run_id)
    store.delete_run(pair)
    for name in ("set_tag", "delete_run"):
        original = getattr(MlflowClient, name)

        def refusing(self: MlflowClient, run_id: str, *args: Any, original: Any = original) -> None:
            if run_id in (foreign, ends[0]):
                raise MlflowException("Permission denied\nand more")
            original(self, run_id, *args)

        monkeypatch.setattr(MlflowClient, name, refusing)
    assert repair(["--apply=true", "--orphans=true"]) == 0
    told = capsys.readouterr().out
    assert f"left alone: pair {foreign} pair could not be changed: Permission denied\n" in told
    assert f"left alone: endpoint {ends[0]}" in told
    assert "1 runs ended as KILLED" in told
    assert "1 endpoints without a pair deleted" in told
    assert (status(store, foreign), status(store, mine)) == ("RUNNING", "KILLED")
    assert [store.get_run(run_id).info.lifecycle_stage for run_id in ends] == ["active", "deleted"]


def launcher(client: MlflowClient, source: str, entry_point: str = "train_pair", minutes: int = 60, **tags: str) -> str:
    """Log the run that `mlflow run` starts before it makes an environment."""
    own = {"mlflow.project.entryPoint": entry_point, "mlflow.source.name": source, **tags}
    run = client.create_run("0", start_time=client_time(client) - 60_000 * minutes, tags=own)
    return str(run.info.run_id)


def client_time(client: MlflowClient) -> int:
    return int(client.create_run("0").info.start_time)


def test_the_run_of_a_failed_mlflow_run_is_found_and_ended(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "MLproject").write_text("name: another_project\n")
    dead_result = dead_run(store)
    at_work = store.create_run("0", tags={"lmc.kind": "pair", **process_tags()}).info.run_id
    failed = [
        launcher(store, f"file://{ROOT}"),
        launcher(store, str(ROOT), "sweep"),
        launcher(store, "https://example.org/team/lmc_mlflow.git#sub"),
        launcher(store, f"file://{ROOT}", **{"lmc.see": dead_result}),
    ]
    living = launcher(store, f"file://{ROOT}")
    monkeypatch.setattr(dead_launchers, "has_process", lambda _, run_id: run_id == living)
    kept = [
        living,
        launcher(store, f"file://{ROOT}", minutes=5),
        launcher(store, f"file://{ROOT}", "no command of ours"),
        launcher(store, f"file://{other}"),
        launcher(store, "https://example.org/team/other.git"),
        launcher(store, f"file://{ROOT}", **{"lmc.see": at_work}),
    ]
    assert repair([]) == 0
    told = capsys.readouterr().out
    assert all(f"run of mlflow run {run_id} " in told for run_id in failed)
    assert not any(run_id in told for run_id in kept)
    assert repair(["--apply=true"]) == 0
    assert {status(store, run_id) for run_id in failed} == {"KILLED"}
    assert {status(store, run_id) for run_id in kept} == {"RUNNING"}


def test_a_process_is_known_by_what_it_was_started_with(monkeypatch: pytest.MonkeyPatch) -> None:
    name, environment = "LMC_TEST_OF_A_PROCESS", {**os.environ, "LMC_TEST_OF_A_PROCESS": "here"}
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=environment) as process:
        assert has_process(name, "here")
        assert not has_process(name, "elsewhere")
        process.communicate(b"\n")
    assert not has_process(name, "here")
