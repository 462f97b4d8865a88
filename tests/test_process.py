"""A signal at the wrong moment leaves no run in the state RUNNING."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from sqlalchemy import Engine, event

from entry_points.command import say
from lmc_mlflow.query.runs import default_client
from lmc_mlflow.tracking import lifecycle
from lmc_mlflow.tracking.lifecycle import open_runs
from lmc_mlflow.tracking.process import Terminated, signals_wait, termination_raises
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.tracking.store import open_store


@pytest.fixture(autouse=True)
def _interruptible() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background


def test_a_run_that_is_just_being_opened_when_ctrl_c_comes_ends_killed(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = lifecycle._new_run

    def interrupted(*args: Any) -> TrackedRun:
        run = original(*args)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        return run

    monkeypatch.setattr(lifecycle, "_new_run", interrupted)
    with pytest.raises(KeyboardInterrupt), open_runs() as runs:
        runs.open(open_store(), "report", "cut short", {})
    (run,) = store.search_runs(["0"])
    assert run.info.status == "KILLED"
    assert run.data.tags["lmc.error"] == "stopped by Ctrl-C"


def test_a_reader_that_has_seen_enough_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr("sys.stdout", pipe)
        say("a line nobody reads")
        say("another")
        assert os.path.samestat(os.fstat(pipe.fileno()), Path(os.devnull).stat())


def interrupt(passed: list[str], seconds: float) -> None:
    with signals_wait(seconds):
        os.kill(os.getpid(), signal.SIGINT)
        passed.append("the first signal")
        time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)
        passed.append("the second signal")


@pytest.mark.parametrize(
    ("seconds", "expected"), [(10.0, ["the first signal", "the second signal"]), (0.01, ["the first signal"])]
)
def test_signals_wait_for_the_end_of_the_block_but_not_for_ever(seconds: float, expected: list[str]) -> None:
    passed: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        interrupt(passed, seconds)
    assert passed == expected
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_in_the_midst_of_a_commit_does_not_leave_the_database_locked(store: MlflowClient) -> None:
    with pytest.raises(Terminated):
        stop_in_a_commit()
    (ended,) = store.search_runs(["0"])
    assert ended.info.status == "KILLED"
    assert ended.data.tags["written"] == "whole"


def stop_in_a_commit() -> None:
    with termination_raises(), open_runs() as runs:
        run = runs.open(open_store(), "report", "cut short", {})
        event.listen(Engine, "commit", lambda _: os.kill(os.getpid(), signal.SIGTERM), once=True)
        run.client.set_tag(run.run_id, "written", "whole")


def test_a_read_is_done_before_a_signal_raises(store: MlflowClient) -> None:
    done: list[Any] = []
    with pytest.raises(Terminated):
        stop_in_a_read(done)
    assert done  # the statement in which the signal came


def stop_in_a_read(done: list[Any]) -> None:
    with termination_raises():
        event.listen(Engine, "before_cursor_execute", lambda *_: os.kill(os.getpid(), signal.SIGTERM), once=True)
        event.listen(Engine, "after_cursor_execute", lambda *_: done.append(True), once=True)
        default_client().search_runs(["0"])
