"""Computes tasks on the nodes of a Ray cluster; the only file that imports ray, an optional extra."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lmc_mlflow.config.sweep import WorkConfig
from lmc_mlflow.errors import first_line
from lmc_mlflow.sweeps.worker import CellOutcome, Task, TaskResult, compute
from lmc_mlflow.tracking.processes.signals import Terminated, termination_raises

NODE_DEATHS = 5
"""How often Ray starts a task again whose node or process has died."""
PATIENCE_SECONDS = 60.0
ANSWER_SECONDS = 5.0
CLUSTER_SETTING = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's setting whether other machines can join; it holds on Linux too."""
_PASSED_ON = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_PROFILE")


def check_uri(uri: str, address: str) -> None:
    """Refuse a store that other machines would look for in a folder of their own.

    Raises:
        ValueError: a relative SQLite file on a cluster.
    """
    if address and uri.startswith("sqlite:///") and not uri.startswith("sqlite:////"):
        raise ValueError(
            f"tracking store {uri} is a file beside this process, which other nodes do not see; start `mlflow server` "
            "and set MLFLOW_TRACKING_URI to its address, as docs/sweeps.md shows"
        )


def shared_uri(uri: str) -> str:
    """Write a tracking URI so that it means the same in every folder of this machine."""
    file = uri.removeprefix("sqlite:///")
    return uri if file in (uri, ":memory:") or file.startswith("/") else f"sqlite:///{Path(file).absolute()}"


def compute_on_ray(task: Task) -> list[CellOutcome]:
    """Compute a task in a Ray worker."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where Ray was started in the background
    with termination_raises(once=True):  # Ray's cancel sends SIGINT several times, and the runs need time to end
        return compute(task)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Unwrap what a signal raises: Ray's compiled core turns it into a SystemError."""
    try:
        yield
    except SystemError as error:
        if isinstance(error.__cause__, Terminated | KeyboardInterrupt):
            raise error.__cause__ from None
        raise


@contextmanager
def _on_loopback(alone: bool) -> Iterator[None]:
    """Let a cluster that is started within the block listen on this machine alone; Ray's own listens to all others too.

    Ray reads this setting as it is imported, and its processes as they start; a value in the environment decides.
    """
    if not alone or CLUSTER_SETTING in os.environ:
        yield
        return
    os.environ[CLUSTER_SETTING] = "0"
    try:
        yield
    finally:
        del os.environ[CLUSTER_SETTING]


def _refuse_silent(address: str) -> None:
    """Refuse an address where nothing listens, at which Ray would knock for minutes without a word.

    Raises:
        ValueError: nothing listens there.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return  # `auto`, or no address
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = first_line(error)
        raise ValueError(f"address={address!r}: no Ray cluster answers there ({reason})") from None


class RayEngine:
    """Tasks on a Ray cluster, which starts those of a dead node again elsewhere.

    Attributes:
        cores_per_task: the cores that each task has.
    """

    def __init__(self, config: WorkConfig, environment: Mapping[str, str], device: str) -> None:
        """Connect to the cluster, or start one.

        Args:
            config: where the cluster is, and what of it each task has.
            environment: variables of the worker processes.
            device: on which the tasks are to compute.

        Raises:
            ValueError: no Ray, no cluster at the address, or one that cannot serve such tasks.
        """
        with _on_loopback(not config.address):
            try:
                import ray
            except ImportError:
                raise ValueError("engine=ray needs Ray: pip install '.[cluster]'") from None
            self._ray: Any = ray
            self._started = not ray.is_initialized()
            if self._started:
                self._connect(config.address)
        self._tasks: dict[Any, Task] = {}
        passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        options: dict[str, Any] = {
            "num_cpus": config.cpus_per_job,
            "max_retries": NODE_DEATHS,
            "runtime_env": {"env_vars": {**passed, **environment}},
        }
        if config.gpus_per_job:
            options["num_gpus"] = config.gpus_per_job
        self.cores_per_task = config.cpus_per_job
        self._wanted = {"CPU": config.cpus_per_job, "GPU": config.gpus_per_job}
        self._remote = ray.remote(**options)(compute_on_ray)
        self._refuse_unservable()
        self._refuse_idle_gpus(device)

    def _connect(self, address: str) -> None:
        _refuse_silent(address)
        handler = signal.getsignal(signal.SIGTERM)
        try:
            self._ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level="error",
                **({} if address else {"include_dashboard": False}),
            )
        except (ConnectionError, RuntimeError, TimeoutError) as error:
            reason = first_line(error)
            raise ValueError(f"address={address!r}: no Ray cluster answers there ({reason})") from None
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)  # Ray puts one in its place that leaves at once

    def _refuse_unservable(self) -> None:
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        for what, wanted in self._wanted.items():
            most = max((node.get(what, 0.0) for node in nodes), default=0.0)
            if wanted > most:
                self.close()
                name = f"{what.lower()}s_per_job"
                raise ValueError(f"{name}={wanted:g}: no node of the cluster has more than {most:g} {what}s")

    def _refuse_idle_gpus(self, device: str) -> None:
        """Refuse tasks that have no GPU of their own: all of a node would take its first, or leave all idle."""
        total = self._ray.cluster_resources().get("GPU", 0.0)
        if total and not self._wanted["GPU"] and device != "cpu":
            self.close()
            raise ValueError(
                f"gpus_per_job=0: the cluster has {total:g} GPUs; give each task its share, as in gpus_per_job=1, or "
                "device=cpu"
            )

    @property
    def workers(self) -> int:
        """Count the tasks that the cluster has cores and GPUs for."""
        total = self._ray.cluster_resources()
        shares = [total.get(what, 0.0) / wanted for what, wanted in self._wanted.items() if wanted]
        return max(1, int(min(shares, default=1.0)))

    def has_room(self) -> bool:
        """Return True: Ray itself queues what has to wait."""
        return True

    def submit(self, task: Task) -> None:
        """Hand a task to Ray."""
        self._tasks[self._remote.remote(task)] = task

    def finished(self, seconds: float) -> list[TaskResult]:
        """Wait so long at most for tasks to end, and return the results of those that have ended."""
        if not self._tasks:
            time.sleep(seconds)
            return []
        with _own_signals():
            ready, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=seconds)
        return [self._collect(reference) for reference in ready]

    def _collect(self, reference: Any) -> TaskResult:
        task = self._tasks.pop(reference)
        try:
            with _own_signals():
                return TaskResult(task, self._ray.get(reference))
        except self._ray.exceptions.RayError as error:
            return TaskResult(task, [], f"Ray gave it up ({type(error).__name__}: {first_line(error)})")

    def close(self) -> None:
        """Interrupt the tasks, wait until they have ended their runs, and leave the cluster."""
        pending, deadline = list(self._tasks), time.monotonic() + PATIENCE_SECONDS
        while pending and time.monotonic() < deadline:
            for reference in pending:  # again and again: a task that is just being loaded misses it
                self._ray.cancel(reference, force=False)
            _, pending = self._ray.wait(pending, num_returns=len(pending), timeout=2.0)
        self._tasks.clear()
        if self._started:
            self._ray.shutdown()
