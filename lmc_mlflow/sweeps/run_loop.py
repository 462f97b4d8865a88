"""How does work flow between a schedule, an engine and the store, until nothing is left?"""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Never

from tqdm import tqdm

from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.config.runtime import RuntimeConfig
from lmc_mlflow.sweeps.engines.table import Engine
from lmc_mlflow.sweeps.grid import Grid, Job
from lmc_mlflow.sweeps.ownership import Lead
from lmc_mlflow.sweeps.progress import (
    FAILED,
    FINISHED,
    TO_DO,
    Snapshot,
    State,
    look,
    state_of_cell,
    state_of_together,
)
from lmc_mlflow.sweeps.schedule import Portion, Schedule, Unit
from lmc_mlflow.sweeps.status import log_files, name_of, show
from lmc_mlflow.sweeps.worker import Task
from lmc_mlflow.tracking.store import Store

POLL_SECONDS = 0.5
LOOK_SECONDS = 2.0
"""Between two looks at what other processes do, at least; ten times as long as a look takes, if that is more."""


@dataclass(frozen=True)
class Place:
    """What tasks are told: where their runs go, and what their networks run on."""

    store: Store
    environment: Mapping[str, str]
    runtime: RuntimeConfig


def states_of(grid: Grid, snapshot: Snapshot, digests: Mapping[DataConfig, str] | None) -> dict[Unit, State]:
    """How far every cell of a grid, and every job's ensembles of seeds, are in the store."""
    states: dict[Unit, State] = {}
    for number, job in enumerate(grid.jobs):
        digest = None if digests is None else digests[job.cells[0].config.data]
        mine = [state_of_cell(cell, snapshot, digest) for cell in job.cells]
        states |= {(number, cell.config.model.seed): s for cell, s in zip(job.cells, mine, strict=True)}
        if job.together:
            pairs = [state.pair for state in mine]
            states[number, None] = state_of_together(job, pairs, snapshot) if all(pairs) else State(TO_DO)
    return states


def to_attempt(states: Mapping[Unit, State], since: int) -> dict[Unit, State]:
    """What failed before counts as to do; but not what failed in another process of the same sweep, since it began."""
    return {
        unit: State(TO_DO) if state.word == FAILED and not (since and state.ended >= since) else state
        for unit, state in states.items()
    }


class Loop:
    """One process's part in a sweep."""

    def __init__(self, grid: Grid, digests: Mapping[DataConfig, str], schedule: Schedule, lead: Lead, place: Place):
        self._grid = grid
        self._digests = digests
        self._schedule = schedule
        self._lead = lead
        self._place = place
        self._portions: dict[str, Portion] = {}
        self.tasks: set[str] = set()
        self._next_look = 0.0

    def run(self, engine: Engine, tell: Callable[[str], None]) -> None:
        """Hand out what is to be done and note what is over, until nothing is left that this process may do.

        A process that keeps the sweep's run waits for what others work on, and takes it over if they
        die; one that joined leaves it to them.
        """
        self._show(with_files=True)
        total = len(self._schedule.states)
        with tqdm(total=total, desc="sweep", unit="cell", disable=None, smoothing=0) as bar:
            while True:
                self._progress(bar)
                while engine.has_room() and (portion := self._schedule.take()) is not None:
                    self._submit(engine, portion)
                if not self._portions:
                    if self._leave_to_others() or not self._schedule.elsewhere():
                        return
                    self._look(tell)
                changed = False
                for done in engine.finished(POLL_SECONDS):
                    portion = self._portions.pop(done.task.name)
                    self._schedule.put_back(portion, done.reports, done.why)
                    for seed in portion[1]:
                        self._tell((portion[0], seed), tell)
                    changed = True
                if changed:
                    self._show()

    def _submit(self, engine: Engine, portion: Portion) -> None:
        number, seeds = portion
        job = self._grid.jobs[number]
        cells = [
            replace(cell, config=replace(cell.config, runtime=self._place.runtime))
            for cell in job.cells
            if seeds == (None,) or cell.config.model.seed in seeds
        ]
        task = Task(
            name=uuid.uuid4().hex,
            job=Job(job.name, tuple(cells), job.together),
            pairs=self._schedule.pairs(number) if seeds == (None,) else (),
            sweep=self._lead.run.run_id,
            experiment_id=self._place.store.experiment_id,
            environment=self._place.environment,
        )
        self._portions[task.name] = portion
        self.tasks.add(task.name)
        engine.submit(task)

    def _leave_to_others(self) -> bool:
        if not self._lead.leads:
            self._lead.try_to_lead()
        return not self._lead.leads

    def _look(self, tell: Callable[[str], None]) -> None:
        """What has become of cells that other processes work on?"""
        started = time.monotonic()
        if started < self._next_look:
            return
        states = states_of(self._grid, look(self._place.store), self._digests)
        before = self._schedule.count(FINISHED)
        for unit in self._schedule.elsewhere():
            self._schedule.learn(unit, states[unit])
            self._tell(unit, tell)
        if self._schedule.count(FINISHED) != before:
            self._show()
        self._next_look = time.monotonic() + max(LOOK_SECONDS, 10 * (time.monotonic() - started))

    def _tell(self, unit: Unit, tell: Callable[[str], None]) -> None:
        state = self._schedule.states[unit]
        if state.word in (FINISHED, FAILED):
            why = f": {state.why}" if state.word == FAILED else f", pair {state.pair}" if state.pair else ""
            with tqdm.external_write_mode():
                tell(f"{state.word} {self._grid.jobs[unit[0]].name} {name_of(unit[1])}{why}")

    def _progress(self, bar: "tqdm[Never]") -> None:
        bar.n = sum(state.word in (FINISHED, FAILED) for state in self._schedule.states.values())
        bar.refresh()

    def _show(self, with_files: bool = False) -> None:
        if self._lead.leads:
            show(self._lead.run, self._grid, self._schedule)
            if with_files:
                log_files(self._lead.run, self._grid, self._schedule)
