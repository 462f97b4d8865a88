"""Runs the loop of a sweep: hands out cells to an engine and records what became of them, until nothing is left."""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Never

from tqdm import tqdm

from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.config.runtime import RuntimeConfig
from lmc_mlflow.config.sweep import StopConfig
from lmc_mlflow.sweeps.engines.table import Engine
from lmc_mlflow.sweeps.grid import Grid, Job
from lmc_mlflow.sweeps.ownership import SweepRun
from lmc_mlflow.sweeps.progress import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    STOPPED,
    TO_DO,
    Snapshot,
    Status,
    read_snapshot,
    status_of_cell,
    status_of_seed_steps,
)
from lmc_mlflow.sweeps.schedule import Portion, Schedule, WorkItem
from lmc_mlflow.sweeps.status import item_name, log_files, update_run
from lmc_mlflow.sweeps.worker import Task
from lmc_mlflow.workflows.pair.stopping import StopRule

POLL_SECONDS = 0.5
SNAPSHOT_SECONDS = 2.0
"""Least time between two snapshots of the store; ten times as long as one takes to read, if that is more."""


def statuses_of(grid: Grid, snapshot: Snapshot, digests: Mapping[DataConfig, str] | None) -> dict[WorkItem, Status]:
    """Say how far every cell of a grid, and every job's ensembles of seeds, are in the store."""
    statuses: dict[WorkItem, Status] = {}
    for number, job in enumerate(grid.jobs):
        digest = None if digests is None else digests[job.cells[0].config.data]
        of_cells = [status_of_cell(cell, snapshot, digest) for cell in job.cells]
        statuses |= {(number, cell.config.model.seed): s for cell, s in zip(job.cells, of_cells, strict=True)}
        if job.seed_steps:
            pairs = [status.pair for status in of_cells]
            lacking = Status(STOPPED if any(status.word == STOPPED for status in of_cells) else TO_DO)
            statuses[number, None] = status_of_seed_steps(job, pairs, snapshot) if all(pairs) else lacking
    return statuses


def resume_stopped(statuses: Mapping[WorkItem, Status], config: StopConfig) -> dict[WorkItem, Status]:
    """Turn pairs that were stopped into interrupted ones, unless this sweep stops such pairs itself."""
    return {
        item: Status(INTERRUPTED) if status.word == STOPPED and not config.stop_hopeless else status
        for item, status in statuses.items()
    }


def retry_earlier_failures(statuses: Mapping[WorkItem, Status], since: int) -> dict[WorkItem, Status]:
    """Turn what failed before this sweep began into work to do; failures of its other processes stay failures.

    Args:
        statuses: as the store has them.
        since: when the sweep that this process has joined began, in milliseconds; 0: it has joined none.
    """
    return {
        item: Status(TO_DO) if status.word == FAILED and not (since and status.ended >= since) else status
        for item, status in statuses.items()
    }


class RunLoop:
    """The part of one process in a sweep.

    Attributes:
        tasks: names of the tasks that it has handed out.
    """

    def __init__(
        self,
        grid: Grid,
        digests: Mapping[DataConfig, str],
        schedule: Schedule,
        sweep_run: SweepRun,
        runtime: RuntimeConfig,
        stopping: StopConfig,
    ) -> None:
        self._grid = grid
        self._digests = digests
        self._schedule = schedule
        self._sweep_run = sweep_run
        self._store = sweep_run.store
        self._runtime = runtime
        self._stopping = stopping
        self._portions: dict[str, Portion] = {}
        self.tasks: set[str] = set()
        self._next_snapshot = 0.0

    def go_on(self, grid: Grid, schedule: Schedule, digests: Mapping[DataConfig, str]) -> None:
        """Go on with a grid that has further jobs behind those that it had."""
        self._grid, self._schedule, self._digests = grid, schedule, digests

    def run(self, engine: Engine, tell: Callable[[str], None]) -> None:
        """Hand out what is to be done and record what has ended, until nothing is left that this process may do.

        The process that owns the sweep's run waits for what others compute, and takes it over if they
        die; one that has joined leaves it to them.
        """
        self.update_run(with_files=True)
        total = len(self._schedule.statuses)
        with tqdm(total=total, desc="sweep", unit="cell", disable=None, smoothing=0) as bar:
            while True:
                self._draw_progress(bar)
                while engine.has_room() and (portion := self._schedule.take_next()) is not None:
                    self._submit(engine, portion)
                if not self._portions:
                    if self._leaves_rest_to_others() or not self._schedule.elsewhere():
                        return
                    self._update_elsewhere(tell)
                results = engine.finished(POLL_SECONDS)
                for result in results:
                    portion = self._portions.pop(result.task.name)
                    self._schedule.record(portion, result.outcomes, result.why)
                    for seed in portion[1]:
                        self._tell((portion[0], seed), tell)
                if results:
                    self.update_run()

    def _submit(self, engine: Engine, portion: Portion) -> None:
        number, seeds = portion
        job = self._grid.jobs[number]
        cells = [
            replace(cell, config=replace(cell.config, runtime=self._runtime))
            for cell in job.cells
            if seeds == (None,) or cell.config.model.seed in seeds
        ]
        task = Task(
            name=uuid.uuid4().hex,
            job=Job(job.name, tuple(cells), job.seed_steps),
            pairs=self._schedule.pairs(number) if seeds == (None,) else (),
            sweep=self._sweep_run.run.run_id,
            experiment_id=self._store.experiment_id,
            stop=self._stop_rule(job),
        )
        self._portions[task.name] = portion
        self.tasks.add(task.name)
        engine.submit(task)

    def _stop_rule(self, job: Job) -> StopRule | None:
        own = self._stopping
        return StopRule(own.stop_epoch, job.cells[0].config.model.seed) if own.stop_hopeless else None

    def _leaves_rest_to_others(self) -> bool:
        if not self._sweep_run.is_owner:
            self._sweep_run.take_over_if_free()
        return not self._sweep_run.is_owner

    def _update_elsewhere(self, tell: Callable[[str], None]) -> None:
        """Read from the store what has become of cells that other processes compute."""
        started = time.monotonic()
        if started < self._next_snapshot:
            return
        statuses = statuses_of(self._grid, read_snapshot(self._store), self._digests)
        before = self._schedule.count(FINISHED)
        for item in self._schedule.elsewhere():
            self._schedule.update(item, statuses[item])
            self._tell(item, tell)
        if self._schedule.count(FINISHED) != before:
            self.update_run()
        self._next_snapshot = time.monotonic() + max(SNAPSHOT_SECONDS, 10 * (time.monotonic() - started))

    def _tell(self, item: WorkItem, tell: Callable[[str], None]) -> None:
        status = self._schedule.statuses[item]
        if status.word in (FINISHED, FAILED, STOPPED):
            why = f": {status.why}" if status.word != FINISHED else f", pair {status.pair}" if status.pair else ""
            with tqdm.external_write_mode():
                tell(f"{status.word} {self._grid.jobs[item[0]].name} {item_name(item[1])}{why}")

    def _draw_progress(self, bar: "tqdm[Never]") -> None:
        bar.n = sum(status.word in (FINISHED, FAILED, STOPPED) for status in self._schedule.statuses.values())
        bar.refresh()

    def update_run(self, with_files: bool = False) -> None:
        """Write how far the grid is into the sweep's run, if this process owns it."""
        if self._sweep_run.is_owner:
            update_run(self._sweep_run.run, self._grid, self._schedule)
            if with_files:
                log_files(self._sweep_run.run, self._grid, self._schedule)
