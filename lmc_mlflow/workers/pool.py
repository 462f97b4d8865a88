"""Computes calls in processes of this machine; a process that dies fails its own call alone."""

import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

Call = Callable[[], Any]
"""What a worker computes; the call and what it returns are pickled."""
WORKER_MODULE = "lmc_mlflow.workers.worker_process"


@dataclass(frozen=True)
class Ended:
    """A call that has ended.

    Attributes:
        key: what it was submitted under: its place, in a pool of processes.
        value: what it returned, or the exception that it raised.
        death: how the process died that computed it; empty: it lives.
    """

    key: Any
    value: Any = None
    death: str = ""


@dataclass(frozen=True)
class Leaving:
    """What a call returns whose process must compute no other, because its GPU is lost to it; `value` is the result."""

    value: Any


@dataclass
class _Worker:
    process: "subprocess.Popen[bytes]"
    pipe: "Connection[Any, Any]"
    is_busy: bool = False


class ProcessPool:
    """A process at each of several places, started when there is work for it."""

    def __init__(self, environments: Sequence[Mapping[str, str]], patience: float = 10.0) -> None:
        """Prepare to start processes.

        Args:
            environments: of each place the variables of its process, beside those of this process.
            patience: seconds that processes which are asked to stop may take.
        """
        self._environments = environments
        self._patience = patience
        self._workers: dict[int, _Worker] = {}

    def free(self) -> list[int]:
        """List the places without work, those with a process first."""
        places = [place for place, worker in self._workers.items() if not worker.is_busy]
        return places + [place for place in range(len(self._environments)) if place not in self._workers]

    def submit(self, place: int, call: Call) -> None:
        """Give a call to the process of a free place."""
        message = pickle.dumps(call)
        worker = self._workers.get(place) or self._start(place)
        try:
            worker.pipe.send_bytes(message)
        except (BrokenPipeError, ConnectionResetError):  # it was killed while it had no work
            worker.process.wait()
            worker = self._start(place)
            worker.pipe.send_bytes(message)
        worker.is_busy = True

    def finished(self, seconds: float) -> list[Ended]:
        """Wait so long at most for calls to end, and return those that have ended."""
        busy = {worker.pipe: place for place, worker in self._workers.items() if worker.is_busy}
        if not busy:
            time.sleep(seconds)
            return []
        return [self._collect(busy[pipe]) for pipe in wait(list(busy), seconds) if isinstance(pipe, Connection)]

    def _collect(self, place: int) -> Ended:
        worker = self._workers[place]
        try:
            value = worker.pipe.recv()
            worker.is_busy = False
            if isinstance(value, Leaving):
                value = value.value
                worker.process.wait()
                del self._workers[place]
            ended = Ended(place, value)
        except (EOFError, OSError):  # the process is gone: killed, out of memory
            code = worker.process.wait()
            del self._workers[place]
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"left with status {code}"
            ended = Ended(place, death=f"its worker process {worker.process.pid} {how}")
        return ended

    def _start(self, place: int) -> _Worker:
        ours, theirs = Pipe()
        paths = os.pathsep.join(path for path in sys.path if path)
        level = logging.getLogger().getEffectiveLevel()
        process = subprocess.Popen(
            [sys.executable, "-m", WORKER_MODULE, str(theirs.fileno()), str(level)],
            stdin=subprocess.DEVNULL,
            env={**os.environ, **self._environments[place], "PYTHONPATH": paths},
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        self._workers[place] = _Worker(process, ours)
        return self._workers[place]

    def close(self) -> None:
        """Ask the processes to stop, wait until they have ended what must be ended, and kill those that do not stop."""
        for worker in self._workers.values():
            if not worker.is_busy:
                worker.pipe.close()
            elif worker.process.poll() is None:
                worker.process.terminate()
        deadline = time.monotonic() + self._patience
        for worker in self._workers.values():
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            worker.pipe.close()
        self._workers.clear()
