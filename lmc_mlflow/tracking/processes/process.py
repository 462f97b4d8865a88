"""Tags of the process that writes a run, and whether it is still alive."""

import math
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

import psutil

from lmc_mlflow.contract import Tag

HEARTBEAT_SECONDS = 60
STALE_MINUTES = 30
"""Time without a heartbeat after which a process of another machine counts as dead."""
SAME_HOST_STALE_MINUTES = 5
"""The same for a process in another container of this machine, which has the same clock."""

PROCESS_TAGS: Mapping[str, Callable[[str], bool]] = {
    Tag.HOST: bool,
    Tag.PID: lambda text: 0 < int(text) < 2**31,
    Tag.PROCESS_STARTED: lambda text: math.isfinite(float(text)),
    Tag.HEARTBEAT: lambda text: datetime.fromisoformat(text).tzinfo is not None,
}
"""Tag of a process -> tells whether a value can be one; raises ValueError where it cannot be read."""

_TASK: ContextVar[str] = ContextVar("task", default="")
"""Name of the task that a sweep gave this process; one process at a time works on a task."""


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
        Tag.PID_NAMESPACE: pid_namespace(),
        Tag.HEARTBEAT: now(),
    }


def pid_namespace() -> str:
    """Return what tells the container whose process numbers this process sees; empty where there is no such thing."""
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return ""


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
    same number); of another machine the heartbeat must be younger than `stale_minutes`, and of another container
    with this machine's name, where numbers mean other processes, than five minutes. An earlier
    process of this process's own task is gone, or the task would not have been started again. A run
    whose tags cannot be read (`unreadable_tag`) was not written by a process of this project and counts as alive.
    """
    if unreadable_tag(tags):
        return True
    if tags.get(Tag.TASK) and tags[Tag.TASK] == _TASK.get():
        return is_this_process(tags)
    is_here = tags[Tag.HOST] == socket.gethostname()
    if is_here and _is_elsewhere(tags):
        stale_minutes = min(stale_minutes, SAME_HOST_STALE_MINUTES)
    elif is_here:
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
    is_here = tags.get(Tag.HOST) == socket.gethostname() and not _is_elsewhere(tags)
    return is_here and tags.get(Tag.PID) == str(os.getpid())


def _is_elsewhere(tags: Mapping[str, str]) -> bool:
    """Tell whether these tags are from another container; those of earlier versions do not say so."""
    mine = pid_namespace()
    return tags.get(Tag.PID_NAMESPACE, mine) != mine


def has_process(name: str, value: str) -> bool:
    """Tell whether a process of this machine was started with an environment variable of this value."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(name) == value:
                return True
        except (psutil.Error, OSError):  # another user's, or it has just ended
            continue
    return False
