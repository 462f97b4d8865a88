"""Computes calls on the nodes of a Ray cluster; the only file that imports ray, an optional extra."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any

from lmc_mlflow.errors import first_line
from lmc_mlflow.tracking.processes.signals import Terminated, termination_raises
from lmc_mlflow.workers.pool import Call, Ended

NODE_DEATHS = 5
"""How often Ray starts a call again whose node or process has died."""
PATIENCE_SECONDS = 60.0
ANSWER_SECONDS = 5.0
CLUSTER_SETTING = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's setting whether other machines can join; it holds on Linux too."""


@dataclass(frozen=True)
class Share:
    """What each call has of a cluster.

    Attributes:
        cpus: cores, and the option that says so.
        gpus: GPUs, and the option that says so; None: one, on a cluster that has any.
        environment: variables of the processes.
    """

    cpus: tuple[float, str]
    gpus: tuple[float | None, str]
    environment: Mapping[str, str] = field(default_factory=dict)


def compute_on_ray(function: Callable[..., Any], *args: Any) -> Any:
    """Compute a call in a Ray worker."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where Ray was started in the background
    with termination_raises(once=True):  # Ray's cancel sends SIGINT several times, and the runs need time to end
        return function(*args)


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


def check_cluster(address: str, option: str) -> None:
    """Refuse an address where nothing listens, at which Ray would knock for minutes without a word.

    Args:
        address: of the cluster's head; empty: one is to be started.
        option: that asks for Ray, for messages.

    Raises:
        ValueError: Ray is not installed, or nothing listens there.
    """
    if find_spec("ray") is None:
        raise ValueError(f"{option} needs Ray: pip install '.[cluster]'")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return  # `auto`, or no address
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = first_line(error)
        raise ValueError(f"address={address!r}: no Ray cluster answers there ({reason})") from None


class RayPool:
    """Calls on a Ray cluster, which starts those of a dead node again elsewhere."""

    def __init__(self, address: str, share: Share, option: str) -> None:
        """Connect to a cluster.

        Args:
            address: of its head; empty: one of this machine is started.
            share: what each call has of it.
            option: that asks for Ray, for messages.

        Raises:
            ValueError: no Ray, no cluster at the address, or none that has what a call needs.
        """
        check_cluster(address, option)
        with _on_loopback(not address):
            import ray

            self._ray: Any = ray
            self._started = not ray.is_initialized()
            if self._started:
                self._connect(address)
        self._keys: dict[Any, Hashable] = {}
        gpus, name = share.gpus
        self._wanted = {"CPU": share.cpus, "GPU": (float(self._most("GPU") > 0) if gpus is None else gpus, name)}
        self._refuse_unservable()
        options: dict[str, Any] = {
            "num_cpus": share.cpus[0],
            "max_retries": NODE_DEATHS,
            "runtime_env": {"env_vars": dict(share.environment)},
        }
        if self._wanted["GPU"][0]:
            options["num_gpus"] = self._wanted["GPU"][0]
        self._remote = ray.remote(**options)(compute_on_ray)

    def _connect(self, address: str) -> None:
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

    def _most(self, what: str) -> float:
        """Give the most of a resource that a node has."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        return max((float(node.get(what, 0.0)) for node in nodes), default=0.0)

    def _refuse_unservable(self) -> None:
        for what, (wanted, name) in self._wanted.items():
            if wanted > (most := self._most(what)):
                self.close()
                raise ValueError(f"{name}={wanted:g}: no node of the cluster has more than {most:g} {what}s")

    def total(self, what: str) -> float:
        """Add up what all nodes have of a resource, `CPU` or `GPU`."""
        return float(self._ray.cluster_resources().get(what, 0.0))

    @property
    def workers(self) -> int:
        """Count the calls that the cluster has cores and GPUs for."""
        shares = [self.total(what) / wanted for what, (wanted, _) in self._wanted.items() if wanted]
        return max(1, int(min(shares, default=1.0)))

    def put(self, value: Any) -> Any:
        """Hand a value to the cluster once, for many calls; each of them that is given the result has the value."""
        return self._ray.put(value)

    def submit(self, key: Hashable, function: Callable[..., Any], *args: Any) -> None:
        """Hand a call to Ray."""
        self._keys[self._remote.remote(function, *args)] = key

    def finished(self, seconds: float) -> list[Ended]:
        """Wait so long at most for calls to end, and return those that have ended."""
        if not self._keys:
            time.sleep(seconds)
            return []
        with _own_signals():
            ready, _ = self._ray.wait(list(self._keys), num_returns=1, timeout=seconds)
        return [self._collect(reference) for reference in ready]

    def _collect(self, reference: Any) -> Ended:
        key = self._keys.pop(reference)
        try:
            with _own_signals():
                return Ended(key, self._ray.get(reference))
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)  # of a RayTaskError: what the call raised
            if isinstance(cause, Exception):
                return Ended(key, cause)
            return Ended(key, death=f"Ray gave it up ({type(error).__name__}: {first_line(error)})")

    def close(self) -> None:
        """Interrupt the calls, wait until they have ended what must be ended, and leave the cluster."""
        pending, deadline = list(self._keys), time.monotonic() + PATIENCE_SECONDS
        while pending and time.monotonic() < deadline:
            for reference in pending:  # again and again: a call that is just being loaded misses it
                self._ray.cancel(reference, force=False)
            _, pending = self._ray.wait(pending, num_returns=len(pending), timeout=2.0)
        self._keys.clear()
        if self._started:
            self._ray.shutdown()


class RayPlaces:
    """A Ray cluster as places that take one call each.

    Attributes:
        num_places: how many calls the cluster computes at once.
    """

    def __init__(self, pool: RayPool) -> None:
        self.num_places = pool.workers
        self._pool = pool
        self._busy: set[int] = set()

    def free(self) -> list[int]:
        """List the places without work."""
        return [place for place in range(self.num_places) if place not in self._busy]

    def submit(self, place: int, call: Call) -> None:
        """Give a call to a free place."""
        assert isinstance(call, partial), "Ray puts its values in the place of arguments"
        self._pool.submit(place, call.func, *call.args)
        self._busy.add(place)

    def finished(self, seconds: float) -> list[Ended]:
        """Wait so long at most for calls to end, and return those that have ended."""
        ended = self._pool.finished(seconds)
        self._busy -= {one.key for one in ended}
        return ended
