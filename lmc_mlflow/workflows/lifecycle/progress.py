"""How does what a process has done so far outlive it? In the two slots of its run, written in turn."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lmc_mlflow.query.resume import newest_state
from lmc_mlflow.tracking.resume import NUM_SLOTS, keep_state
from lmc_mlflow.tracking.run import TrackedRun

T = TypeVar("T")
SAVE_SECONDS = 60
"""From one kept state to the next, where states are small and come often."""


class Slots:
    """Writes to the slot that does not hold the newest whole state: whatever stops the writing leaves that one."""

    def __init__(self, run: TrackedRun) -> None:
        """Start with the first slot.

        Args:
            run: that the states are kept with.
        """
        self._run = run
        self._slot = 0

    def read(self, load: Callable[[Path], T]) -> T | None:
        """The newest whole state as a function reads it from its file; None if there is none."""
        with tempfile.TemporaryDirectory() as folder:
            path = newest_state(self._run.client, self._run.run_id, Path(folder))
            if path is None:
                return None
            self._slot = (int(path.stem.removeprefix("slot_")) + 1) % NUM_SLOTS
            return load(path)

    def write(self, save: Callable[[Path], None], progress: int) -> None:
        """Keep a state that a function writes to a file.

        Args:
            save: writes safetensors.
            progress: how far it is; of two whole states the further counts.
        """
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / "state"
            save(local)
            keep_state(self._run, local, progress, self._slot)
        self._slot = (self._slot + 1) % NUM_SLOTS
