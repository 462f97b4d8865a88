"""The commands, one module each, started as `python -m entry_points.<command>`."""

import os
import signal
import sys
from pathlib import Path

_MODULE = next((word for word in sys.orig_argv if word.startswith("entry_points.")), "")
_STARTED = ""
if sys.argv[:1] == ["-m"]:  # this very import is that of the command
    _STARTED = _MODULE.partition(".")[2]
elif Path(*sys.argv[:1]).stem == "lmc":
    _STARTED = next(iter(sys.argv[1:]), "lmc")
if _STARTED:
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a traceback through the next import helps nobody

    from lmc_mlflow.tracking.processes.signals import leave_at_signals

    leave_at_signals(f"{_STARTED}: stopped; give the same command again to go on")

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# MLflow retries for minutes without a word; tracking.connection.client repeats a request, and says so.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
# Threads that wait for each other by spinning starve when another job shares the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# cuBLAS reads it once, at its first product; deterministic=true needs it, and nothing is slower with it.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
