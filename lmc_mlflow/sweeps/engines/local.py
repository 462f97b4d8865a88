"""How do processes of this machine work on tasks? One task a process; a process that dies takes its task alone."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from lmc_mlflow.sweeps.worker import Done, Report, Task, attempt
from lmc_mlflow.tracking.process import Terminated, termination_raises

PATIENCE_SECONDS = 60.0
"""How long workers that were asked to stop may take to end their runs."""


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: "Connection[Task | None, list[Report]]"
    task: Task | None = None


class LocalEngine:
    """Worker processes, started when there is work for them; of several GPUs each has one, in turn."""

    def __init__(self, processes: int, gpus: Sequence[str] = ()) -> None:
        self.workers = processes
        self._gpus = gpus
        self._started = 0
        self._workers: list[_Worker] = []
        self._context = multiprocessing.get_context("spawn")

    def has_room(self) -> bool:
        """Whether a task could begin at once."""
        return len(self._workers) < self.workers or any(worker.task is None for worker in self._workers)

    def submit(self, task: Task) -> None:
        """Give a task to an idle worker, or to a new one."""
        idle = next((worker for worker in self._workers if worker.task is None), None)
        try:
            worker = idle or self._start()
            worker.pipe.send(task)
        except BrokenPipeError:  # the idle worker was killed; it has nothing to lose
            assert idle is not None
            self._workers.remove(idle)
            worker = self._start()
            worker.pipe.send(task)
        worker.task = task

    def finished(self, seconds: float) -> list[Done]:
        """The tasks that are over, waited for so long at most."""
        busy = {worker.pipe: worker for worker in self._workers if worker.task is not None}
        if not busy:
            time.sleep(seconds)
            return []
        return [self._collect(busy[pipe]) for pipe in wait(list(busy), seconds) if isinstance(pipe, Connection)]

    def _collect(self, worker: _Worker) -> Done:
        task = worker.task
        assert task is not None
        try:
            done = Done(task, worker.pipe.recv())
            worker.task = None
        except (EOFError, OSError):  # the process is gone: killed, out of memory
            worker.process.join()
            self._workers.remove(worker)
            code = worker.process.exitcode or 0
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"left with status {code}"
            done = Done(task, [], f"its worker process {worker.process.pid} {how}")
        return done

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        gpu = self._gpus[self._started % len(self._gpus)] if self._gpus else None
        process = self._context.Process(target=serve, args=(theirs, gpu), daemon=False)
        process.start()
        self._started += 1
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def close(self) -> None:
        """Ask the workers to stop, wait until they have ended their runs, and end those that do not."""
        for worker in self._workers:
            if worker.task is None:
                worker.pipe.close()
            elif worker.process.is_alive():
                worker.process.terminate()
        deadline = time.monotonic() + PATIENCE_SECONDS
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers.clear()


def serve(pipe: "Connection[list[Report], Task | None]", gpu: str | None) -> None:
    """Work on the tasks that come through a pipe, until it is closed.

    Only the sweep's own process hears Ctrl-C and decides; it asks with SIGTERM. A worker whose sweep is
    gone asks itself.
    """
    os.environ["TQDM_DISABLE"] = "1"
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # before anything has asked for a GPU
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()
    try:
        with termination_raises():
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            while (task := pipe.recv()) is not None:
                pipe.send(attempt(task))
    except (EOFError, BrokenPipeError, Terminated):
        return


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
