"""Decides which process owns a sweep's run: the first one; others join it, and one takes over if the owner dies."""

import time
from collections.abc import Callable

from lmc_mlflow.config.canonical import to_params
from lmc_mlflow.config.commands import SweepConfig
from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.contract import where as has_tags
from lmc_mlflow.query.runs import Run, search
from lmc_mlflow.sweeps.grid import Grid
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.tracking.launcher_run import point_launcher_at
from lmc_mlflow.tracking.lifecycle import OpenRuns
from lmc_mlflow.tracking.locks import LockedError
from lmc_mlflow.tracking.processes.process import is_alive
from lmc_mlflow.tracking.run import TrackedRun

PATIENCE_SECONDS = 60.0
"""How long a process that joins waits for the run that the owner is about to open."""


def sweeps_of(store: Store, grid: Grid) -> list[Run]:
    """Search the runs of sweeps of a grid, oldest first."""
    where = has_tags(kind=Kind.SWEEP, grid_digest=grid.digest)
    return search(store.client, where, [store.experiment_id])


class SweepRun:
    """The sweep's run, and whether this process owns it.

    Attributes:
        run: the run that is the parent of all others.
        is_owner: whether this process describes it and ends it.
        store: where it is.
        since: when it was opened, in milliseconds since 1970; 0 in the process that opened it.
    """

    def __init__(
        self,
        store: Store,
        grid: Grid,
        config: SweepConfig,
        lock: Callable[[str], None],
        runs: OpenRuns,
    ) -> None:
        self.store = store
        self._grid = grid
        self._lock = lock
        self._runs = runs
        self.is_owner = False
        self.since = 0
        try:
            lock(self._key)
        except LockedError as taken:
            self.run, self.since = self._join(taken)
        else:
            self.is_owner = True
            self.run = self._open(config)

    @property
    def _key(self) -> str:
        return f"sweep-{self.store.experiment_id}-{self._grid.digest}"

    def take_over_if_free(self) -> None:
        """Become the owner of the run if the process that owned it is gone."""
        try:
            self._lock(self._key)
        except LockedError:
            return
        run = self.store.client.get_run(self.run.run_id)
        self.is_owner = True
        if run.info.status != "FINISHED":
            self.run = self._runs.reopen(self.store, run)

    def _open(self, config: SweepConfig) -> TrackedRun:
        """Reopen the run of an interrupted sweep of this grid, or open a new one."""
        tags = {Tag.GRID: self._grid.name, Tag.GRID_DIGEST: self._grid.digest}
        interrupted = [run for run in sweeps_of(self.store, self._grid) if run.info.status != "FINISHED"]
        if interrupted:
            opened = self._runs.reopen(self.store, interrupted[-1])
            point_launcher_at(self.store, opened.run_id, "went on with a sweep")
        else:
            opened = self._runs.open(self.store, Kind.SWEEP, f"sweep {self._grid.name}", tags)
        opened.set_tags({Tag.OPENED: str(time.time_ns() // 1_000_000)})
        opened.log_params(to_params(config))
        return opened

    def _join(self, taken: LockedError) -> tuple[TrackedRun, int]:
        """Find the run that another process owns, which may be about to open it.

        Raises:
            LockedError: there is none after a minute.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            for run in sweeps_of(self.store, self._grid):
                opened = run.data.tags.get(Tag.OPENED)
                if run.info.status == "RUNNING" and opened and is_alive(run.data.tags):
                    point_launcher_at(self.store, run.info.run_id, "joined a sweep")
                    return TrackedRun(self.store.client, run.info.run_id, run.info.experiment_id), int(opened)
            time.sleep(0.2)
        raise taken
