"""Runs as a worker process of the local engine: `python -m lmc_mlflow.sweeps.engines.worker_process <pipe>`."""

import os
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection

from lmc_mlflow.sweeps.worker import Reply, Task, compute
from lmc_mlflow.tracking.processes.signals import Terminated, termination_raises
from lmc_mlflow.workflows.lifecycle.gpus import release_gpu

POLL_SECONDS = 0.5


def serve(pipe: "Connection[Reply, Task | None]") -> None:
    """Compute the tasks that come through a pipe, until it is closed.

    Only the sweep's own process reacts to Ctrl-C; it stops this one with SIGTERM. Where the sweep's process is
    gone, this one stops itself in the same way. Between tasks it keeps no memory of a GPU. It leaves after an error
    from which CUDA does not recover, so that only the task that met the error fails.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_stop_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        with termination_raises():
            while (task := pipe.recv()) is not None:
                outcomes = compute(task)
                leaves = not release_gpu()
                pipe.send((outcomes, leaves))
                if leaves:
                    return
    except (EOFError, ConnectionError, Terminated):
        return


def _stop_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
