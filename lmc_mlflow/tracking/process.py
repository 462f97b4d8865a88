"""Tags of the process that writes a run, whether it is still alive, and its signals."""

import math
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import FrameType

import psutil

from lmc_mlflow.contract import Tag

HEARTBEAT_SECONDS = 60
STALE_MINUTES = 30
"""Time without a heartbeat after which a process of another machine counts as dead."""

PROCESS_TAGS: Mapping[str, Callable[[str], bool]] = {
    Tag.HOST: bool,
    Tag.PID: lambda text: 0 < int(text) < 2**31,
    Tag.PROCESS_STARTED: lambda text: math.isfinite(float(text)),
    Tag.HEARTBEAT: lambda text: datetime.fromisoformat(text).tzinfo is not None,
}
"""Tag of a process -> tells whether a value can be one; raises ValueError where it cannot be read."""

_TASK: ContextVar[str] = ContextVar("task", default="")
"""Name of the task that a sweep gave this process; one process at a time works on a task."""


class Terminated(BaseException):
    """The process was asked to end (SIGTERM, SIGHUP); like KeyboardInterrupt it passes every `except Exception`."""


@contextmanager
def termination_raises() -> Iterator[None]:
    """Raise `Terminated` in the main thread at SIGTERM or SIGHUP within the block, so that runs end as KILLED."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, _frame: FrameType | None) -> None:
        raise Terminated(signal.Signals(number).name)

    before = {number: signal.signal(number, terminate) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_wait(seconds: float = 10.0) -> Iterator[None]:
    """Delay signals that would raise in the main thread until the end of the block, so that it is done completely.

    A signal that comes when another has waited for `seconds` is not delayed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    handlers = {number: handler for number, handler in before.items() if callable(handler)}
    waiting: list[tuple[float, int, FrameType | None]] = []

    def note(number: int, frame: FrameType | None) -> None:
        waiting.append((time.monotonic(), number, frame))
        if waiting[-1][0] - waiting[0][0] > seconds:
            handlers[signal.Signals(number)](number, frame)

    for number in handlers:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if waiting:
        _, first, frame = waiting[0]
        handlers[signal.Signals(first)](first, frame)


@contextmanager
def working_on(task: str) -> Iterator[None]:
    """Name the task of a sweep that this process works on in its tags while the block lasts."""
    token = _TASK.set(task)
    try:
        yield
    finally:
        _TASK.reset(token)


def process_tags() -> dict[str, str]:
    """Return the tags that name this process and the time of its heartbeat."""
    me = psutil.Process()
    task = {Tag.TASK: _TASK.get()} if _TASK.get() else {}
    return {
        **task,
        Tag.HOST: socket.gethostname(),
        Tag.PID: str(me.pid),
        Tag.PROCESS_STARTED: f"{me.create_time():.2f}",
        Tag.HEARTBEAT: now(),
    }


def now() -> str:
    """Return the time as it stands in a heartbeat: UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def unreadable_tag(tags: Mapping[str, str]) -> str:
    """Say which tag of a process is missing, or has a value that no process of ours has written; empty: none."""
    for name, read in PROCESS_TAGS.items():
        if name not in tags:
            return f"no tag {name}"
        try:
            is_right = read(tags[name])
        except ValueError:
            is_right = False
        if not is_right:
            return f"tag {name} is {tags[name]!r}"
    return ""


def is_alive(tags: Mapping[str, str], stale_minutes: float = STALE_MINUTES) -> bool:
    """Tell whether the process that wrote these tags still runs.

    On this machine the process itself is looked up (its start time tells it from a later one of the
    same number); of another machine the heartbeat must be younger than `stale_minutes`. An earlier
    process of this process's own task is gone, or the task would not have been started again. A run
    whose tags cannot be read (`unreadable_tag`) was not written by a process of this project and counts as alive.
    """
    if unreadable_tag(tags):
        return True
    if tags.get(Tag.TASK) and tags[Tag.TASK] == _TASK.get():
        return is_this_process(tags)
    if tags[Tag.HOST] == socket.gethostname():
        try:
            process = psutil.Process(int(tags[Tag.PID]))
            same = abs(process.create_time() - float(tags[Tag.PROCESS_STARTED])) < 1
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
    age = datetime.now(UTC) - datetime.fromisoformat(tags[Tag.HEARTBEAT])
    return age.total_seconds() < 60 * stale_minutes


def is_this_process(tags: Mapping[str, str]) -> bool:
    """Tell whether this process wrote these tags."""
    return tags.get(Tag.HOST) == socket.gethostname() and tags.get(Tag.PID) == str(os.getpid())


def has_process(name: str, value: str) -> bool:
    """Tell whether a process of this machine was started with an environment variable of this value."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(name) == value:
                return True
        except (psutil.Error, OSError):  # another user's, or it has just ended
            continue
    return False
