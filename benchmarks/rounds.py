"""How are several ways of doing the same thing timed fairly? In turn, round after round, in one process."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Times:
    """Seconds of one way, a value a round."""

    seconds: tuple[float, ...]

    @property
    def least(self) -> float:
        """The round that was disturbed least."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """The middle round."""
        return statistics.median(self.seconds)


def alternate(ways: Mapping[str, Callable[[], object]], num_rounds: int, warm_up: bool = True) -> dict[str, Times]:
    """Time every way once a round, in turn, so that what else the machine does falls on all of them alike."""
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
    """The cells of one way: its speed against the usual one, how far results are apart, and on a GPU seconds."""
    cells: dict[str, Any] = {
        f"{way}: minima": f"{usual.least / ours.least:.1f}x",
        f"{way}: medians": f"{usual.median / ours.median:.1f}x",
        f"{way}: largest difference": difference,
    }
    if device.type == "cuda":  # a time on a CPU says more of the machine than of the project
        cells |= {
            f"{way}: seconds": ours.least,
            f"{way}: peak GiB": torch.cuda.max_memory_allocated(device) / 2**30,
        }
    return cells
