"""Tracking servers of tests: started, waited for, and killed with all their processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

PATIENCE = 120.0
QUIET = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


@contextmanager
def running_server(
    folder: Path,
    place: str = "--artifacts-destination",
    options: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Run a server with a database and an artifact folder in `folder`, and yield its address.

    `place` is the option that names the artifact folder; `settings` are further environment variables.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}", "-w", "1", *options]
    command += [f"--backend-store-uri=sqlite:///{folder}/mlflow.db", f"{place}={folder}/artifacts"]
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"} | QUIET | dict(settings or {})
    address = f"http://127.0.0.1:{port}"
    log = folder / "server.log"
    with (
        log.open("w") as said,
        subprocess.Popen(
            command, stdout=said, stderr=said, env=environment, cwd=folder, start_new_session=True
        ) as process,
    ):
        try:
            _wait_until_it_answers(address, process, log)
            yield address
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _wait_until_it_answers(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    pytest.fail(f"no answer at {address} within {PATIENCE} s:\n{log.read_text()}")
