"""Signals at random calls and stores that fail: no run is left RUNNING, no lock, no process, and nothing is lost."""

import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from campaign.forked import ROOT, SIGNALS, Trials
from campaign.proxy import Proxy, tracking_server
from campaign.table import Judge
from mlflow import MlflowClient

pytestmark = pytest.mark.slow
NUM_PAIRS = int(os.environ.get("CAMPAIGN_SIGNALS", "200"))
GAPS = (0.0, 0.01, 0.06, 0.25)
"""Seconds between two signals; `mlflow run` sends the second a quarter of a second after Ctrl-C."""
PATIENCE = 240.0
FLAGS = ["--model=mlp_l1_w8", "--device=cpu", "--threads=1", "--c2st_samples=0", "--checkpoint_every=20"]


def test_pairs_of_signals_at_random_calls_leave_nothing(empty_store: Path, tmp_path: Path, judge: Judge) -> None:
    calls, modules = 0, []
    for name in ("modules", "calls"):  # the second time everything is imported already
        counting = Trials(tmp_path, empty_store, modules)
        assert counting.run(name, None, (), ()).faults() == []
        counting.close()
        calls, modules = json.loads((tmp_path / name / "calls").read_text())
    trials, draw = Trials(tmp_path, empty_store, modules), random.Random(0)
    faults, ends = [], Counter()
    for i in range(NUM_PAIRS):
        signals = tuple(int(draw.choice(SIGNALS)) for _ in range(draw.choice((2, 2, 2, 3))))
        gaps = tuple(draw.choice(GAPS) for _ in signals[1:])
        call = draw.randint(1, int(1.002 * calls))
        ended = trials.run(str(i), call, signals, gaps)
        ends[f"{ended.status} {' '.join(ended.runs)}".strip()] += 1
        found = ended.faults()
        if i % 10 == 0:
            again = trials.again(ended.folder, 10 * calls)
            found += [] if again.runs == ["FINISHED"] * 3 else [f"then {again.status} {again.runs}"]
        faults += [(call, signals, gaps, found)] if found else []
        shutil.rmtree(ended.folder)
    trials.close()
    happened = ", ".join(f"{number} x {end}" for end, number in ends.most_common())
    given = f"{NUM_PAIRS} pairs, one in four with a third"
    judge("signals at random calls", given, str(faults) if faults else happened, not faults)


@dataclass
class Training:
    """A training in a process of its own, in a folder of its own.

    Attributes:
        folder: of the process.
        database: of the store, which may be a server's.
        uri: of the store.
        process: the last one that was started.
    """

    folder: Path
    database: Path
    uri: str
    process: "subprocess.Popen[bytes]" = field(init=False)

    def start(self, epochs: int = 60, limit: int | None = None) -> None:
        """Start the command; `limit` is one on the size of files."""

        def prepare() -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": self.uri}
        command = [sys.executable, "-m", "entry_points.train_pair", *FLAGS, f"--epochs={epochs}"]
        with (self.folder / "out").open("w") as out, (self.folder / "err").open("w") as err:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=err, cwd=self.folder, env=environment, preexec_fn=prepare
            )

    def wait_for_epoch(self, epoch: int = 5) -> None:
        """Wait until an epoch has been logged."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            if (self.ask("SELECT max(step) FROM metrics WHERE key = 'train/loss'")[0][0] or 0) >= epoch:
                return
            time.sleep(0.1)
        pytest.fail(self.said())

    def ask(self, statement: str) -> list[tuple]:
        """Ask the database."""
        connection = sqlite3.connect(self.database, timeout=30)
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()

    def statuses(self) -> list[str]:
        """List the statuses of all runs, and of deleted ones that too."""
        try:
            found = self.ask(
                "SELECT status || CASE lifecycle_stage WHEN 'active' THEN '' ELSE ' deleted' END FROM runs"
            )
        except sqlite3.DatabaseError:
            return []
        return sorted(status for (status,) in found)

    def said(self) -> str:
        """Give what stands on standard error."""
        return (self.folder / "err").read_text()


def lock(training: Training) -> None:
    connection = sqlite3.connect(training.database, timeout=30, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    time.sleep(60)
    connection.execute("ROLLBACK")
    connection.close()


def delete(what: str) -> Callable[[Training], None]:
    def of(training: Training) -> None:
        client = MlflowClient(training.uri)
        for run in client.search_runs(["0"]):
            if run.data.tags.get("lmc.side", run.data.tags["lmc.kind"]) == what:
                client.delete_run(run.info.run_id)

    return of


KILLED = ["KILLED", "KILLED", "KILLED deleted"]
DISASTERS: list[tuple[str, Callable[[Training], None], int, list[str], int, str]] = [
    ("database locked for a minute", lock, 0, ["FINISHED"] * 3, 3, ""),
    ("database vanishes", lambda t: t.database.unlink(), 1, [], 2, "put the tracking store right"),
    ("database is garbage", lambda t: t.database.write_bytes(os.urandom(9999)), 1, [], 2, "tracking store right"),
    (
        "artifact folder vanishes",
        lambda t: shutil.rmtree(t.folder / "mlruns"),
        1,
        ["FAILED"] * 3,
        1,
        "as it was logged",
    ),
    ("pair deleted", delete("pair"), 1, KILLED, 1, "was deleted while it was written"),
    ("side B deleted", delete("B"), 1, KILLED, 1, "was deleted while it was written"),
]
"""Name, what happens after five epochs, exit status, statuses of the runs, lines on standard error, words there."""


@pytest.mark.parametrize(("name", "do", "status", "statuses", "lines", "words"), DISASTERS, ids=lambda v: str(v)[:30])
def test_a_store_that_fails_in_mid_training(
    store: MlflowClient,
    tmp_path: Path,
    judge: Judge,
    name: str,
    do: Callable[[Training], None],
    status: int,
    statuses: list[str],
    lines: int,
    words: str,
) -> None:
    training = Training(tmp_path, tmp_path / "mlflow.db", store.tracking_uri)
    training.start()
    training.wait_for_epoch()
    do(training)
    left = training.process.wait(PATIENCE)
    said, found = training.said(), training.statuses()
    held = (left, found) == (status, statuses) and said.count("\n") <= lines and words in said
    happened = f"exit status {left}, {said.count(chr(10))} lines, runs {' '.join(found)}"
    if held and status and found:  # the same command makes it whole
        training.start()
        held = training.process.wait(PATIENCE) == 0
        ended = training.statuses()
        whole = (
            "SELECT count(*) FROM metrics JOIN runs USING (run_uuid) WHERE key = 'train/loss' AND status = 'FINISHED'"
        )
        held = held and ended.count("FINISHED") == 3 and training.ask(whole) == [(180,)]
        happened += f"; then {' '.join(ended)}"
    judge(name, "after 5 of 60 epochs", happened if held else said, held)


@pytest.mark.parametrize("more", [-10_000, 100_000])
def test_a_limit_on_the_size_of_files(store: MlflowClient, tmp_path: Path, judge: Judge, more: int) -> None:
    training = Training(tmp_path, tmp_path / "mlflow.db", store.tracking_uri)
    limit = training.database.stat().st_size + more
    training.start(limit=limit)
    left, said, found = training.process.wait(PATIENCE), training.said(), training.statuses()
    held = left == 1 and said.count("\n") == 1 and set(found) <= {"FAILED"}
    training.start()
    held = held and training.process.wait(PATIENCE) == 0 and training.statuses() == ["FINISHED"] * 3
    happened = f"exit status {left}, runs {' '.join(found)}"
    judge("limit on the size of files", f"{limit} bytes", happened if held else said, held)


def away(proxy: Proxy, _: Training) -> None:
    proxy.go_away()
    time.sleep(45)
    proxy.come_back()


def errors(proxy: Proxy, _: Training) -> None:
    proxy.mode = "500"
    time.sleep(30)
    proxy.mode = "pass"


def lose(proxy: Proxy, _: Training) -> None:
    proxy.lost = 3


def stop_slowly(proxy: Proxy, training: Training) -> None:
    proxy.delay = 0.3
    time.sleep(1)
    training.process.send_signal(signal.SIGINT)
    time.sleep(0.25)
    training.process.send_signal(signal.SIGTERM)


SERVERS: list[tuple[str, Callable[[Proxy, Training], None], bool, int, str]] = [
    ("server away for 45 s", away, False, 0, "FINISHED"),
    ("server answers 500 for 30 s", errors, False, 0, "FINISHED"),
    ("three answers to runs/create are lost", lose, True, 0, "FINISHED"),
    ("SIGINT, then SIGTERM on a slow server", stop_slowly, False, 130, "KILLED"),
]
"""Name, what happens, whether it does before the training begins, exit status, status of all three runs."""


@pytest.mark.parametrize(("name", "do", "early", "status", "all_are"), SERVERS, ids=lambda v: str(v)[:30])
def test_a_server_that_fails_in_mid_training(
    store: MlflowClient,
    tmp_path: Path,
    judge: Judge,
    name: str,
    do: Callable[[Proxy, Training], None],
    early: bool,
    status: int,
    all_are: str,
) -> None:
    client = tmp_path / "client"
    client.mkdir()
    connection = sqlite3.connect(tmp_path / "mlflow.db")
    with connection:
        connection.execute("UPDATE experiments SET artifact_location = 'mlflow-artifacts:/0'")
    connection.close()
    with tracking_server(tmp_path) as port:
        proxy = Proxy(port)
        training = Training(client, tmp_path / "mlflow.db", f"http://127.0.0.1:{proxy.port}")
        if early:
            do(proxy, training)
        training.start(epochs=60 if status == 0 else 5000)
        if not early:
            training.wait_for_epoch()
            do(proxy, training)
        left, found = training.process.wait(PATIENCE), training.statuses()
        held = (left, found) == (status, [all_are] * 3)
        held = held and training.ask("SELECT count(*) FROM registered_models") == [(0,)]
        happened = f"exit status {left}, {training.said().count(chr(10))} lines, runs {' '.join(found)}"
        judge(name, "a proxy", happened if held else training.said(), held)
