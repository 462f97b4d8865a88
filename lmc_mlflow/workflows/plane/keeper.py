"""How do measured rows of a plane outlive their process? They are kept with its run, once a minute."""

import time
from collections import UserDict
from collections.abc import Callable, MutableMapping
from functools import partial

import torch
from safetensors.torch import load_file, save_file

from lmc_mlflow.paths.plane import Row
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.lifecycle.progress import SAVE_SECONDS, Slots


class _Panel(UserDict[int, Row]):
    """The rows of one panel, which tells of every row that is added."""

    def __init__(self, known: dict[int, Row], added: Callable[[int, Row], None]) -> None:
        super().__init__()
        self.data = known
        self._added = added

    def __setitem__(self, index: int, row: Row) -> None:
        super().__setitem__(index, row)
        self._added(index, row)


class RowsKeeper:
    """Keeps the rows that were measured so far with the run, once a minute and when asked to."""

    def __init__(self, run: TrackedRun) -> None:
        """Start with nothing.

        Args:
            run: of kind `plane`.
        """
        self._slots = Slots(run)
        self._rows: dict[tuple[str, int], Row] = {}
        self._num_saved = 0
        self._saved_at = time.monotonic()

    def restore(self) -> None:
        """Take over what the newest whole slot holds."""
        for name, (losses, scores) in (self._slots.read(load_file) or {}).items():
            panel, index, engine = name.split("/")
            self._rows[panel, int(index)] = Row(losses.numpy(), scores.numpy(), engine)
        self._num_saved = len(self._rows)

    def rows_of(self, panel: str) -> MutableMapping[int, Row]:
        """The rows of one panel, by their index; what is added to them is kept when it is time."""
        known = {index: row for (name, index), row in self._rows.items() if name == panel}
        return _Panel(known, partial(self._remember, panel))

    def _remember(self, panel: str, index: int, row: Row) -> None:
        self._rows[panel, index] = row
        if time.monotonic() - self._saved_at >= SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Keep all rows, unless they are kept already."""
        if len(self._rows) == self._num_saved:
            return
        tensors = {
            f"{panel}/{index}/{row.engine}": torch.stack([torch.from_numpy(row.losses), torch.from_numpy(row.scores)])
            for (panel, index), row in self._rows.items()
        }
        self._slots.write(partial(save_file, tensors), len(tensors))
        self._num_saved = len(tensors)
        self._saved_at = time.monotonic()
