"""Starts the other processes of a group, talks to them, and says why one of them has ended."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any

import torch
from torch import distributed as dist

from lmc_mlflow.training.engines.data_parallel.group import PATIENCE, Failure, Group, unpack

GRACE_SECONDS = 5.0
"""How long the process that is to blame for an error may take to end, and each of them after the last epoch."""
POLL_SECONDS = 0.1
WORKER_MODULE = "lmc_mlflow.training.engines.data_parallel.worker"


class Workers:
    """The processes of all ranks but 0."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._processes: list[subprocess.Popen[bytes]] = []
        self._pipes: list[Connection[Any, bytes]] = []
        self._failures: dict[int, Failure] = {}
        self._are_dismissed = threading.Event()

    @contextmanager
    def started(self) -> Iterator[None]:
        """Start them; none outlives the block."""
        try:
            for rank in range(1, len(self._group.devices)):
                self._start(rank)
            if self._group.devices[0].type == "cuda":
                threading.Thread(target=self._free_rank_0, daemon=True).start()
            yield
        finally:
            if self._are_dismissed.is_set():
                self._ended(len(self._processes))
            self._kill()

    def _start(self, rank: int) -> None:
        """Start one, which Ctrl-C at the terminal does not reach; it does not run the command's own module again."""
        ours, theirs = Pipe()
        process = subprocess.Popen(
            [sys.executable, "-m", WORKER_MODULE, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        ours.send((rank, self._group))
        theirs.close()
        self._processes.append(process)
        self._pipes.append(ours)

    def dismiss(self, error: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        """Let them leave the group after the last epoch; kill them after an error, before rank 0 leaves it."""
        if error is None:
            self._are_dismissed.set()
            with suppress(OSError):  # one that has ended since the last epoch changes nothing
                self.send(None)
        else:
            self._kill()

    def send(self, message: Any) -> None:
        """Send a message to each."""
        for pipe in self._pipes:
            pipe.send(message)

    def receive(self) -> list[Any]:
        """Wait for an answer of each, by rank; tensors are on the device of rank 0.

        Raises:
            EOFError: one has ended.
            ChildProcessError: one has failed.
        """
        answers: dict[int, Any] = {}
        while len(answers) < len(self._pipes):
            waiting = {pipe: index for index, pipe in enumerate(self._pipes) if index not in answers}
            for pipe in wait(list(waiting)):
                index = waiting[pipe]  # type: ignore[index]
                answers[index] = unpack(self._pipes[index].recv(), self._group.devices[0])
                if isinstance(answers[index], Failure):
                    self._failures[index] = answers[index]
                    raise ChildProcessError(answers[index].error)
        return [answers[index] for index in sorted(answers)]

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Blame the process that has ended first for an error in the block, where one has.

        Raises:
            ChildProcessError: one has, or gives no answer; says which, and why.
        """
        try:
            yield
        except (RuntimeError, OSError, EOFError) as error:
            why = self._why() if self._ended(1) else None
            if why is None and "timed out" in str(error).lower():
                others = ", ".join(map(str, self._group.devices[1:]))
                why = f"a process of {others} did not answer for {PATIENCE.seconds // 60} minutes"
            if why is None:
                raise
            raise ChildProcessError(f"{why}; the same command resumes from the last progress that was saved") from error

    def _ended(self, number: int) -> bool:
        """Wait a while until so many of them have ended; tell whether they have."""
        deadline = time.monotonic() + GRACE_SECONDS
        while sum(process.poll() is not None for process in self._processes) < number:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _why(self) -> str:
        """Say which process has ended first, and why; one has."""
        killed, ended = [], []
        for index, (process, pipe) in enumerate(zip(self._processes, self._pipes, strict=True)):
            status = process.poll()
            if status is None:
                continue
            name = f"the process of {self._group.devices[index + 1]} (rank {index + 1})"
            failure = self._failures.get(index) or _last_words(pipe)
            if failure is not None:
                ended.append((failure.when, f"{name} has failed ({failure.error})"))
            elif status < 0:
                killed.append(f"{name} was killed ({signal.Signals(-status).name})")
            else:
                ended.append((float("inf"), f"{name} has ended with status {status}"))
        return killed[0] if killed else min(ended)[1]

    def _kill(self) -> None:
        self._are_dismissed.set()
        for process, pipe in zip(self._processes, self._pipes, strict=True):
            process.kill()
            process.wait()
            pipe.close()

    def _free_rank_0(self) -> None:
        """Let rank 0 go on where it waits on its GPU for a process that has ended, which NCCL does not notice."""
        while not self._are_dismissed.wait(POLL_SECONDS):
            if any(process.poll() is not None for process in self._processes) and dist.group.WORLD is not None:
                dist.group.WORLD.abort()
                return


def _last_words(pipe: "Connection[Any, bytes]") -> Failure | None:
    """Read why a process that has ended has given up, if it has said so."""
    try:
        words = unpack(pipe.recv(), torch.device("cpu")) if pipe.poll() else None
    except (EOFError, OSError):
        return None
    return words if isinstance(words, Failure) else None
