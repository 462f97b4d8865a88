"""Counts what the host does with the simulated devices: the kernels that it launches, and its waits."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PREFIX = f"{Path(__file__).resolve().parents[2]}/"
PRODUCT = tuple(f"{PREFIX}{folder}/" for folder in ("lmc_mlflow", "entry_points", "benchmarks"))


@dataclass
class Counts:
    """Counts within a block.

    Attributes:
        waits: times the host stopped until a device was done.
        wait_places: `file:line reason` of each wait -> times.
        launches: kernels, copies within a device and graphs that the host launched one by one.
        launch_places: `file:line` of each launch -> times.
        kernels: name of each operation launched one by one -> times.
        copies: between the host and a device, whether the host waited or not.
        replays: graphs among the launches.
        graph_kernels: kernels that these graphs ran.
    """

    waits: int = 0
    launches: int = 0
    copies: int = 0
    replays: int = 0
    graph_kernels: int = 0
    wait_places: Counter[str] = field(default_factory=Counter)
    launch_places: Counter[str] = field(default_factory=Counter)
    kernels: Counter[str] = field(default_factory=Counter)


_open: list[Counts] = []


@contextmanager
def counted() -> Iterator[Counts]:
    """Count within the block, in all threads; blocks may stand in one another."""
    counts = Counts()
    _open.append(counts)
    try:
        yield counts
    finally:
        _open.remove(counts)


def count_wait(reason: str) -> None:
    """Count a wait of the host."""
    for counts in _open:
        counts.waits += 1
        counts.wait_places[f"{place()} {reason}"] += 1


def count_copy() -> None:
    """Count a copy between the host and a device."""
    for counts in _open:
        counts.copies += 1


def count_launch(name: str) -> None:
    """Count a kernel that the host launches by itself."""
    for counts in _open:
        counts.launches += 1
        counts.kernels[name] += 1
        counts.launch_places[place()] += 1


def count_replay(num_kernels: int) -> None:
    """Count a graph that the host launches."""
    for counts in _open:
        counts.launches += 1
        counts.replays += 1
        counts.graph_kernels += num_kernels
        counts.launch_places[place()] += 1


def place() -> str:
    """Return the innermost line of the product that is running, or else of the tests, as `file:line`."""
    frame, of_tests = sys._getframe(1), "elsewhere"
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(PRODUCT):
            return f"{file.removeprefix(PREFIX)}:{frame.f_lineno}"
        if of_tests == "elsewhere" and file.startswith(f"{PREFIX}tests/test_"):
            of_tests = f"{file.removeprefix(PREFIX)}:{frame.f_lineno}"
        frame = frame.f_back
    return of_tests
