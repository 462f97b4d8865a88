"""What worker processes compute in tests: squares, and what goes wrong."""

import logging
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from lmc_mlflow.config.runtime import RuntimeConfig


def prepare(runtime: RuntimeConfig) -> torch.device:
    torch.set_num_threads(1)
    return torch.device(runtime.device)


@dataclass(frozen=True)
class Squares:
    """A tensor that all workers share, and a folder in which they leave marks."""

    folder: Path
    numbers: torch.Tensor

    def on(self, device: torch.device) -> "Squares":
        (self.folder / f"loaded {os.getpid()}").touch()
        return self

    def square(self, i: int) -> tuple[int, int]:
        """Returns the square of number i, and the process that computed it."""
        return int(self.numbers[i]) ** 2, os.getpid()

    def slow_square(self, i: int) -> tuple[int, int]:
        time.sleep(0.5 if i == 0 else 0.01)
        return self.square(i)

    def dies_once(self, i: int) -> tuple[int, int]:
        if i == 2 and not (self.folder / "died").exists():
            (self.folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.square(i)

    def dies(self, i: int) -> tuple[int, int]:
        if i == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.square(i)

    def raises(self, i: int) -> tuple[int, int]:
        if i == 2:
            raise ValueError(f"number {i} is refused")
        return self.square(i)

    def warns_and_writes(self, i: int) -> float:
        logging.getLogger("a.worker").warning("number %d is large", i)
        self.numbers[i] = -1
        return float(self.numbers[i])

    def waits(self, i: int) -> None:
        (self.folder / f"waits {os.getpid()}").touch()
        time.sleep(60)
