"""A signal at the wrong moment leaves no run in the state RUNNING."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import QUICK, ROOT
from mlflow import MlflowClient
from sqlalchemy import Engine, event

from entry_points.command import run_command, say
from lmc_mlflow.query.runs import default_client
from lmc_mlflow.tracking import lifecycle
from lmc_mlflow.tracking.connection.store import open_store
from lmc_mlflow.tracking.lifecycle import open_runs
from lmc_mlflow.tracking.processes import launcher, signals
from lmc_mlflow.tracking.processes.signals import Terminated, signals_raise, signals_wait, termination_raises
from lmc_mlflow.tracking.run import TrackedRun


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
    with pytest.raises(KeyboardInterrupt), termination_raises(), open_runs() as runs:
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


def interrupt(passed: list[str]) -> None:
    with termination_raises(), signals_wait():
        os.kill(os.getpid(), signal.SIGINT)
        passed.append("the first signal")
        time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)
        passed.append("the second signal")


@pytest.mark.parametrize(
    ("seconds", "expected"), [(10.0, ["the first signal", "the second signal"]), (0.01, ["the first signal"])]
)
def test_signals_wait_for_the_end_of_the_block_but_not_for_ever(
    seconds: float, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "PATIENCE_SECONDS", seconds)
    passed: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        interrupt(passed)
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


def send(*numbers: signal.Signals) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


PAIRS_OF_SIGNALS = [
    (signal.SIGINT, signal.SIGINT, signal.SIGINT),
    (signal.SIGINT, signal.SIGTERM),
    (signal.SIGHUP, signal.SIGTERM),
]


@pytest.mark.parametrize("numbers", PAIRS_OF_SIGNALS, ids=lambda numbers: "_".join(n.name for n in numbers))
def test_signals_that_come_while_runs_are_ended_do_not_stop_that(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, numbers: tuple[signal.Signals, ...]
) -> None:
    ended: list[str] = []

    def end(run: TrackedRun, status: str, why: str) -> None:
        send(*numbers[1:])
        ended.append(status)

    monkeypatch.setattr(TrackedRun, "end", end)
    with pytest.raises((KeyboardInterrupt, Terminated)):
        stop_in_training(numbers[0])
    assert ended == ["KILLED", "KILLED"]


def stop_in_training(number: signal.Signals) -> None:
    with termination_raises(), open_runs() as runs:
        for name in ("one", "two"):
            runs.open(open_store(), "report", name, {})
        send(number)
        time.sleep(60)


def test_a_signal_whose_exception_is_lost_raises_at_the_next_request(store: MlflowClient) -> None:
    class Finalized:
        def __del__(self) -> None:
            send(signal.SIGTERM)
            time.sleep(0.05)

    def lose() -> None:
        with termination_raises(), open_runs() as runs:
            run = runs.open(open_store(), "report", "cut short", {})
            finalized = Finalized()
            del finalized
            run.client.set_tag(run.run_id, "written", "after the signal")

    with pytest.raises(Terminated):
        lose()
    (ended,) = store.search_runs(["0"])
    assert (ended.info.status, "written" in ended.data.tags) == ("KILLED", False)


def test_an_error_that_a_signal_brings_about_ends_the_run_killed(store: MlflowClient) -> None:
    def break_off() -> None:
        with termination_raises(), open_runs() as runs:
            runs.open(open_store(), "report", "cut short", {})
            try:
                send(signal.SIGTERM)
                time.sleep(60)
            except Terminated:
                raise ImportError("cannot import name") from None

    with pytest.raises(Terminated):
        break_off()
    (ended,) = store.search_runs(["0"])
    assert ended.info.status == "KILLED"


def test_a_signal_that_waits_comes_before_the_block_that_it_may_interrupt() -> None:
    done: list[str] = []

    def wait() -> None:
        with termination_raises(), signals_wait():
            send(signal.SIGTERM)
            done.append("whole")
            with signals_raise():
                done.append("never")

    with pytest.raises(Terminated):
        wait()
    assert done == ["whole"]


def test_a_signal_that_was_ignored_at_the_start_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    try:
        with termination_raises():
            send(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


LEAVE = "import os; from lmc_mlflow.tracking.processes.signals import leave_at_signals as at, leave_with as after; "


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [("at('x: stopped')", 130, "x: stopped\n"), ("at('x: stopped'); after(0)", 0, ""), ("after(0)", -15, "")],
)
def test_a_signal_before_or_after_the_work_ends_the_process_without_a_traceback(
    code: str, status: int, said: str
) -> None:
    program = f"{LEAVE}{code}; os.kill(os.getpid(), 15)"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (process.returncode, process.stderr) == (status, said)


def test_ctrl_c_while_a_command_is_imported_is_one_line(store: MlflowClient) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "entry_points.train_pair", *QUICK]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        while not any("torch" in found.path for found in psutil.Process(process.pid).memory_maps()):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "train_pair: stopped; give the same command again to go on\n")
    assert store.search_runs(["0"]) == []


def test_a_process_ends_when_the_launcher_that_started_it_is_gone(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = store.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    monkeypatch.setattr(launcher, "POLL_SECONDS", 0.01)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as parent:
        monkeypatch.setattr(launcher, "_ancestors", lambda: [psutil.Process(parent.pid)])
        with pytest.raises(Terminated):
            work_until_the_end_of(parent)
    assert store.get_run(run_id).info.status == "KILLED"


def work_until_the_end_of(parent: "subprocess.Popen[bytes]") -> None:
    with termination_raises(), launcher.stop_with_launcher():
        parent.kill()
        time.sleep(60)


def test_output_that_cannot_be_written_is_said_and_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        status = run_command("repair", lambda _: ["a result"], [])
    assert status == 1
    assert capsys.readouterr().err == "repair: done, but standard output cannot be written (No space left on device)\n"


def test_a_terminal_that_is_gone_does_not_hide_how_a_command_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> list[str]:
        raise ValueError("something to put right")

    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stderr", full)
        assert run_command("repair", refuse, []) == 1
