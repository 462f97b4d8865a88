"""Starts the other processes of a group, talks to them, and says why one of them has ended."""

import multiprocessing
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any

import torch
from torch import distributed as dist

from lmc_mlflow.training.engines.data_parallel.group import PATIENCE, Group, unpack
from lmc_mlflow.training.engines.data_parallel.worker import Failure, serve

GRACE_SECONDS = 5.0
"""How long the process that is to blame for an error may take to end, and each of them after the last epoch."""


class Workers:
    """The processes of all ranks but 0."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._processes: list[SpawnProcess] = []
        self._pipes: list[Connection[Any, bytes]] = []
        self._failures: dict[int, Failure] = {}
        self._are_dismissed = threading.Event()

    @contextmanager
    def started(self) -> Iterator[None]:
        """Start them; none outlives the block."""
        context = multiprocessing.get_context("spawn")
        try:
            for rank in range(1, len(self._group.devices)):
                mine, theirs = context.Pipe()
                process = context.Process(target=serve, args=(theirs, rank, self._group), daemon=True)
                process.start()
                theirs.close()
                self._processes.append(process)
                self._pipes.append(mine)
            if self._group.devices[0].type == "cuda":
                threading.Thread(target=self._free_rank_0, daemon=True).start()
            yield
        finally:
            if self._are_dismissed.is_set():
                for process in self._processes:
                    process.join(GRACE_SECONDS)
            self._kill()

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
            ended = wait([process.sentinel for process in self._processes], GRACE_SECONDS)
            why = self._why(ended)
            if why is None and "timed out" in str(error).lower():
                others = ", ".join(map(str, self._group.devices[1:]))
                why = f"a process of {others} did not answer for {PATIENCE.seconds // 60} minutes"
            if why is None:
                raise
            raise ChildProcessError(f"{why}; the same command resumes from the last progress that was saved") from error

    def _why(self, sentinels: Sequence[object]) -> str | None:
        """Say which process has ended first of those with these sentinels, and why; None: there are none."""
        killed, ended = [], []
        for index, (process, pipe) in enumerate(zip(self._processes, self._pipes, strict=True)):
            if process.sentinel not in sentinels:
                continue
            process.join(GRACE_SECONDS)  # its sentinel comes a moment before its status
            assert process.exitcode is not None
            name = f"the process of {self._group.devices[index + 1]} (rank {index + 1})"
            failure = self._failures.get(index) or _last_words(pipe)
            if failure is not None:
                ended.append((failure.when, f"{name} has failed ({failure.error})"))
            elif process.exitcode < 0:
                killed.append(f"{name} was killed ({signal.Signals(-process.exitcode).name})")
            else:
                ended.append((float("inf"), f"{name} has ended with status {process.exitcode}"))
        return killed[0] if killed else min(ended)[1] if ended else None

    def _kill(self) -> None:
        self._are_dismissed.set()
        for process in self._processes:
            process.kill()
            process.join()

    def _free_rank_0(self) -> None:
        """Let rank 0 go on where it waits on its GPU for a process that has ended, which NCCL does not notice."""
        wait([process.sentinel for process in self._processes])
        if not self._are_dismissed.is_set() and dist.group.WORLD is not None:
            dist.group.WORLD.abort()


def _last_words(pipe: "Connection[Any, bytes]") -> Failure | None:
    """Read why a process that has ended has given up, if it has said so."""
    try:
        words = unpack(pipe.recv(), torch.device("cpu")) if pipe.poll() else None
    except (EOFError, OSError):
        return None
    return words if isinstance(words, Failure) else None
