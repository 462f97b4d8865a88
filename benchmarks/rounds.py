"""Times several ways of doing the same work in alternating rounds, in one process."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Times:
    """Seconds of one way, one value for each round."""

    seconds: tuple[float, ...]

    @property
    def least(self) -> float:
        """Return the time of the fastest round, which was disturbed least."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """Return the median time."""
        return statistics.median(self.seconds)


def alternate(ways: Mapping[str, Callable[[], object]], num_rounds: int, warm_up: bool = True) -> dict[str, Times]:
    """Time every way once in each round, so that other work on the machine slows all of them equally."""
    if warm_up:
        for way in ways.values():
            way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(num_rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - started)
    return {name: Times(tuple(values)) for name, values in seconds.items()}


def columns(way: str, usual: Times, ours: Times, difference: float, device: torch.device) -> dict[str, Any]:
    """Return the cells of one way: speed against the usual way, largest difference of results, on a GPU seconds."""
    cells: dict[str, Any] = {
        f"{way}: minima": f"{usual.least / ours.least:.1f}x",
        f"{way}: medians": f"{usual.median / ours.median:.1f}x",
        f"{way}: largest difference": difference,
    }
    if device.type == "cuda":  # a time on a CPU says more about the machine than about the project
        cells |= {
            f"{way}: seconds": ours.least,
            f"{way}: peak GiB": torch.cuda.max_memory_allocated(device) / 2**30,
        }
    return cells
