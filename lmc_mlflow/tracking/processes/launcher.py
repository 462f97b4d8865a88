"""Stops the process where the `mlflow run` that has started it is gone, and ends the run of that launcher."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from lmc_mlflow.contract import LAUNCHER_RUN

POLL_SECONDS = 1.0
SHELLS = ("bash", "sh", "dash", "zsh")


@contextmanager
def stop_with_launcher() -> Iterator[None]:
    """Ask this process to end (SIGTERM) when, within the block, the `mlflow run` that has started it is stopped alone.

    The run of the launcher, which nobody else would end, then ends as KILLED.
    """
    run_id = os.environ.get(LAUNCHER_RUN)
    if not run_id or threading.current_thread() is not threading.main_thread():
        yield
        return
    done, gone = threading.Event(), threading.Event()
    watch = threading.Thread(target=_watch, args=(_ancestors(), done, gone), daemon=True)
    watch.start()
    try:
        yield
    finally:
        done.set()
        if gone.is_set():
            _end(run_id)


def _ancestors() -> list[psutil.Process]:
    """List the process that has started this one, through the shell of `mlflow run` or without."""
    found: list[psutil.Process] = []
    for process in psutil.Process().parents():
        found.append(process)
        if process.name() not in SHELLS:
            break
    return found


def _watch(ancestors: list[psutil.Process], done: threading.Event, gone: threading.Event) -> None:
    while not done.wait(POLL_SECONDS):
        if not all(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in ancestors):
            gone.set()
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _end(run_id: str) -> None:
    import mlflow

    from lmc_mlflow.tracking.connection.client import WRITE_FAILURES, client_of, impatient_client
    from lmc_mlflow.tracking.processes.signals import signals_wait

    with impatient_client(), signals_wait():
        try:
            client = client_of(mlflow.get_tracking_uri())
            if client.get_run(run_id).info.status == "RUNNING":
                client.set_terminated(run_id, status="KILLED")
        except WRITE_FAILURES:
            return  # `repair` ends it
