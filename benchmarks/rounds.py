"""Times several ways of doing the same work in alternating rounds, in one process."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from lmc_mlflow.precision import products

CPU = torch.device("cpu")
Action = Callable[[], object]
Preparation = Callable[[], Action]
"""Builds what a way needs, and returns the work that is timed."""


@dataclass(frozen=True)
class Times:
    """Seconds of one way, one value for each round.

    Attributes:
        seconds: of the work alone, without its preparation.
        peak_gib: the most memory of the GPU that was allocated during the work; 0 on a CPU.
    """

    seconds: tuple[float, ...]
    peak_gib: float = 0.0

    @property
    def least(self) -> float:
        """Return the time of the fastest round, which was disturbed least."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """Return the median time."""
        return statistics.median(self.seconds)


def alternate(
    ways: Mapping[str, Action], num_rounds: int, warm_up: bool = True, device: torch.device = CPU
) -> dict[str, Times]:
    """Time ways that need no preparation, as `alternate_prepared` does."""
    return alternate_prepared({name: _unprepared(way) for name, way in ways.items()}, num_rounds, warm_up, device)


def alternate_prepared(
    ways: Mapping[str, Preparation], num_rounds: int, warm_up: bool = True, device: torch.device = CPU
) -> dict[str, Times]:
    """Time every way once in each round, so that other work on the machine slows all of them equally.

    All of them compute products in float32, which PyTorch by itself lets cuDNN round to TF32.

    Args:
        ways: each is prepared anew in every round, before the clock starts.
        num_rounds: timed rounds.
        warm_up: whether each way is done once before them.
        device: that computes; a GPU is waited for before and after the work.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    peaks = dict.fromkeys(ways, 0.0)
    with products("float32"):
        if warm_up:
            for prepare in ways.values():
                prepare()()
        for _ in range(num_rounds):
            for name, prepare in ways.items():
                work = prepare()
                wait_for(device)
                forget_peak(device)
                started = time.perf_counter()
                work()
                wait_for(device)
                seconds[name].append(time.perf_counter() - started)
                peaks[name] = max(peaks[name], peak_gib(device))
                del work  # or the next way's peak would hold what this one was prepared with
    return {name: Times(tuple(values), peaks[name]) for name, values in seconds.items()}


def columns(way: str, usual: Times, ours: Times, difference: float, device: torch.device) -> dict[str, Any]:
    """Return the cells of one way: speed against the usual way, largest difference of results, on a GPU seconds."""
    cells: dict[str, Any] = {
        f"{way}: minima": f"{usual.least / ours.least:.1f}x",
        f"{way}: medians": f"{usual.median / ours.median:.1f}x",
        f"{way}: largest difference": difference,
    }
    if device.type == "cuda":  # a time on a CPU says more about the machine than about the project
        cells |= {f"{way}: seconds": ours.least, f"{way}: peak GiB": ours.peak_gib}
    return cells


def _unprepared(way: Action) -> Preparation:
    return lambda: way


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def forget_peak(device: torch.device) -> None:
    """Begin to measure the peak of a GPU's memory anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_gib(device: torch.device) -> float:
    """Return the most memory of a GPU that was allocated at once, in GiB; 0 on a CPU."""
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
