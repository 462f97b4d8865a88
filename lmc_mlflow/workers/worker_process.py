"""Runs as a worker process of a pool: `python -m lmc_mlflow.workers.worker_process <pipe> <level of its messages>`."""

import logging
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

from lmc_mlflow.errors import first_line
from lmc_mlflow.terminal.streams import MESSAGE_FORMAT, patient_streams
from lmc_mlflow.tracking.processes.signals import Terminated, termination_raises
from lmc_mlflow.workers.pool import Call, Leaving

POLL_SECONDS = 0.5


def serve(pipe: "Connection[Any, Any]") -> None:
    """Compute the calls that come through a pipe, until it is closed or a call lets this process leave.

    Only the process that owns the pool reacts to Ctrl-C; it stops this one with SIGTERM. Where that process is
    gone, this one stops itself in the same way.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_stop_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        with termination_raises(), patient_streams(quiet=True):
            leaves = False
            while not leaves:
                message, leaves = answer(pipe.recv())
                pipe.send_bytes(message)
    except (EOFError, ConnectionError, Terminated):
        return


def answer(call: Call) -> tuple[bytes, bool]:
    """Compute a call; return what it returns or the exception that it raises, pickled, and whether to leave then."""
    try:
        value = call()
        return pickle.dumps(value), isinstance(value, Leaving)
    except Exception as error:  # noqa: BLE001 (any error at all is raised again by the process that owns the pool)
        error.add_note(f"in worker process {os.getpid()}:\n{traceback.format_exc()}")
        try:
            return pickle.dumps(error), False
        except Exception:  # noqa: BLE001 (an exception may hold anything)
            return pickle.dumps(RuntimeError(f"{type(error).__name__}: {first_line(error)}")), False


def _stop_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    logging.basicConfig(level=int(sys.argv[2]), format=MESSAGE_FORMAT)
    serve(Connection(int(sys.argv[1])))
