"""Computes tasks in processes of this machine; a process that dies fails its own task alone."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

from lmc_mlflow.parallel import num_cores
from lmc_mlflow.sweeps.worker import Reply, Task, TaskResult

PATIENCE_SECONDS = 60.0
"""How long workers that were asked to stop may take to end their runs."""
WORKER_MODULE = "lmc_mlflow.sweeps.engines.worker_process"


@dataclass
class _Worker:
    process: "subprocess.Popen[bytes]"
    pipe: "Connection[Task | None, Reply]"
    gpu: str | None
    task: Task | None = None


class LocalEngine:
    """Worker processes, started when there is work for them; each has one GPU, that with the fewest workers.

    Attributes:
        workers: how many tasks may be computed at once.
    """

    def __init__(self, workers: int, environment: Mapping[str, str], gpus: Sequence[str] = ()) -> None:
        """Prepare to start workers.

        Args:
            workers: how many processes there may be.
            environment: variables of the worker processes, beside those of this process.
            gpus: names for CUDA_VISIBLE_DEVICES; none: workers see what this process sees.
        """
        self.workers = workers
        self._environment = environment
        self._gpus = gpus
        self._workers: list[_Worker] = []

    @property
    def cores_per_task(self) -> float:
        """Return the share of the cores that each task has."""
        return num_cores() // self.workers

    def has_room(self) -> bool:
        """Return whether a task could begin at once."""
        return len(self._workers) < self.workers or any(worker.task is None for worker in self._workers)

    def submit(self, task: Task) -> None:
        """Give a task to an idle worker, or to a new one."""
        idle = next((worker for worker in self._workers if worker.task is None), None)
        try:
            worker = idle or self._start()
            worker.pipe.send(task)
        except BrokenPipeError:  # the idle worker was killed while it had no task
            assert idle is not None
            self._workers.remove(idle)
            worker = self._start()
            worker.pipe.send(task)
        worker.task = task

    def finished(self, seconds: float) -> list[TaskResult]:
        """Wait so long at most for tasks to end, and return the results of those that have ended."""
        busy = {worker.pipe: worker for worker in self._workers if worker.task is not None}
        if not busy:
            time.sleep(seconds)
            return []
        return [self._collect(busy[pipe]) for pipe in wait(list(busy), seconds) if isinstance(pipe, Connection)]

    def _collect(self, worker: _Worker) -> TaskResult:
        task = worker.task
        assert task is not None
        try:
            outcomes, leaves = worker.pipe.recv()
            result = TaskResult(task, outcomes)
            worker.task = None
            if leaves:
                worker.process.wait()
                self._workers.remove(worker)
        except (EOFError, OSError):  # the process is gone: killed, out of memory
            code = worker.process.wait()
            self._workers.remove(worker)
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"left with status {code}"
            result = TaskResult(task, [], f"its worker process {worker.process.pid} {how}")
        return result

    def _start(self) -> _Worker:
        ours, theirs = Pipe()
        paths = os.pathsep.join(path for path in sys.path if path)
        environment = {**os.environ, **self._environment, "PYTHONPATH": paths}
        taken = [worker.gpu for worker in self._workers]
        gpu = min(self._gpus, key=taken.count, default=None)
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        process = subprocess.Popen(
            [sys.executable, "-m", WORKER_MODULE, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            env=environment,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        worker = _Worker(process, ours, gpu)
        self._workers.append(worker)
        return worker

    def close(self) -> None:
        """Ask the workers to stop, wait until they have ended their runs, and kill those that do not stop."""
        for worker in self._workers:
            if worker.task is None:
                worker.pipe.close()
            elif worker.process.poll() is None:
                worker.process.terminate()
        deadline = time.monotonic() + PATIENCE_SECONDS
        for worker in self._workers:
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            worker.pipe.close()
        self._workers.clear()
