"""Trains in processes that are forked from one that has imported everything, with signals at calls that are given."""

import importlib
import json
import os
import runpy
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
TRAIN = ["--model=mlp_l1_w8", "--epochs=1", "--device=cpu", "--threads=1", "--c2st_samples=0"]
PATIENCE = 90.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Run trials in processes that are forked from this one, which has imported everything: reads lines of JSON."""
    for name in json.loads(sys.stdin.readline()):
        with suppress(Exception):
            importlib.import_module(name)
    for name in [name for name in sys.modules if name.split(".")[0] == "entry_points"]:
        del sys.modules[name]
    for line in sys.stdin:
        trial = json.loads(line)
        child = os.fork()
        if child == 0:
            begin(trial)
            return
        deadline = time.monotonic() + PATIENCE
        while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        if ended[0] == 0:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
        try:
            os.killpg(child, 0)
            left = True
        except ProcessLookupError:
            left = False
        status = os.waitstatus_to_exitcode(ended[1]) if ended[0] else "hangs"
        sys.stdout.write(json.dumps({"status": status, "left": left}) + "\n")
        sys.stdout.flush()


def begin(trial: dict[str, Any]) -> None:
    """Become the process of a trial: the command of a user, with signals that come at a call and after a while."""
    os.setsid()
    os.chdir(trial["folder"])
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{trial['folder']}/mlflow.db"
    for number, name in enumerate(("/dev/null", "out", "err")):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    sys.argv, sys.orig_argv = ["-m", *trial["flags"]], ["python", "-m", "entry_points.train_pair"]
    sys.setprofile(bomb(trial["call"], trial["signals"], trial["gaps"], trial["folder"]))
    runpy.run_module("entry_points.train_pair", run_name="__main__")


def bomb(at: int | None, signals: list[int], gaps: list[float], folder: str) -> Callable[[FrameType, str, Any], None]:
    """Give a profiler that sends this process the first signal at a call and the others later; None: it counts."""
    count = 0

    def later() -> None:
        for number, gap in zip(signals[1:], gaps, strict=True):
            time.sleep(gap)
            os.kill(os.getpid(), number)

    def profile(frame: FrameType, what: str, _argument: Any) -> None:
        nonlocal count
        if what != "call":
            return
        count += 1
        if at is None:
            if frame.f_code.co_name == "finish":
                Path(folder, "calls").write_text(json.dumps([count, sorted(sys.modules)]))
        elif count == at:
            sys.setprofile(None)
            Path(folder, "where").write_text(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}")
            threading.Thread(target=later, daemon=True).start()
            os.kill(os.getpid(), signals[0])

    return profile


class Trials:
    """Runs trials one after the other."""

    def __init__(self, folder: Path, empty_store: Path, modules: Sequence[str] = ()) -> None:
        self._folder, self._empty = folder, empty_store
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._server.stdin.write(json.dumps(list(modules)) + "\n")

    def run(self, name: str, call: int | None, signals: tuple[int, ...], gaps: tuple[float, ...]) -> "Ended":
        """Train in a new store, and send the signals."""
        folder = self._folder / name
        folder.mkdir(parents=True)
        shutil.copy(self._empty, folder / "mlflow.db")
        with sqlite3.connect(folder / "mlflow.db") as connection:
            connection.execute("UPDATE experiments SET artifact_location = ?", (str(folder / "mlruns" / "0"),))
        connection.close()
        return self.again(folder, call, signals, gaps)

    def again(
        self, folder: Path, call: int | None, signals: tuple[int, ...] = (), gaps: tuple[float, ...] = ()
    ) -> "Ended":
        """Train in the store of a folder."""
        trial = {"folder": str(folder), "flags": TRAIN, "call": call, "signals": signals, "gaps": gaps}
        self._server.stdin.write(json.dumps(trial) + "\n")
        self._server.stdin.flush()
        answer = json.loads(self._server.stdout.readline())
        return Ended(folder, answer["status"], answer["left"])

    def close(self) -> None:
        """End the process that trials are forked from."""
        self._server.stdin.close()
        self._server.wait(PATIENCE)
        self._server.stdout.close()


class Ended:
    """What a trial has left: statuses of runs, locks, words on standard error."""

    def __init__(self, folder: Path, status: int | str, left: bool) -> None:
        self.folder, self.status, self.left = folder, status, left
        with sqlite3.connect(folder / "mlflow.db", timeout=1) as connection:
            self.runs = sorted(row[0] for row in connection.execute("SELECT status FROM runs"))
            self.locks = connection.execute("SELECT count(*) FROM registered_models").fetchone()[0]
        connection.close()
        self.said = (folder / "err").read_text()

    def faults(self) -> list[str]:
        """List what does not hold."""
        found = []
        if self.left:
            found.append("a process is left")
        if len(set(self.runs)) > 1 or set(self.runs) - {"KILLED", "FINISHED"}:
            found.append(f"runs {' '.join(self.runs)}")
        if self.locks:
            found.append("a lock is left")
        if self.status not in (0, 130):
            found.append(f"status {self.status}")
        if "Traceback" in self.said or len(self.said.splitlines()) > 2:
            found.append(f"{len(self.said.splitlines())} lines on standard error")
        if self.status == 0 and set(self.runs) != {"FINISHED"}:
            found.append("status 0 of a killed run")
        return found


if __name__ == "__main__":
    main()
