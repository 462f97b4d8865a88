"""How is a grid worked through, from reading it to its last cell, alone or beside other sweeps of the same grid?"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from lmc_mlflow.config.commands import SweepConfig
from lmc_mlflow.contract import RUNNING, Tag
from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.query.runs import Run, search
from lmc_mlflow.sweeps.engines.table import (
    data_root,
    environment,
    num_workers,
    runtime,
    start_engine,
)
from lmc_mlflow.sweeps.grid import Grid
from lmc_mlflow.sweeps.grid_file import read_grid
from lmc_mlflow.sweeps.ownership import Lead, sweeps_of
from lmc_mlflow.sweeps.preflight import data_digests
from lmc_mlflow.sweeps.preview import preview_lines
from lmc_mlflow.sweeps.progress import FINISHED, look
from lmc_mlflow.sweeps.run_loop import (
    Loop,
    Place,
    states_of,
    to_attempt,
)
from lmc_mlflow.sweeps.schedule import Schedule
from lmc_mlflow.sweeps.status import (
    headline,
    log_files,
    name_of,
    show,
)
from lmc_mlflow.tracking.lifecycle import (
    WRITE_FAILURES,
    end_orphan,
    name_launcher_run,
    open_runs,
    point_launcher_at,
)
from lmc_mlflow.tracking.locks import find_locks, hold_locks, remove_lock
from lmc_mlflow.tracking.store import Store, impatient_client, open_store

Tell = Callable[[str], None]
MAX_NOTE = 7000
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SweepOutcome:
    """The sweep's run (empty where nothing was logged), and what is to be said at the end."""

    run: str
    lines: tuple[str, ...]
    experiment_id: str


def sweep(config: SweepConfig, tell: Tell) -> SweepOutcome:
    """Work through a grid: skip what is finished, resume what was interrupted, report what fails.

    Args:
        config: which grid, and who works on it.
        tell: takes a line as each cell is over.

    Raises:
        ValueError: the grid, its data or its networks; or, at the end, cells that failed.
        StoreError: the tracking store cannot be used.
    """
    grid = read_grid(config.grid.grid, {"data_root": data_root(config)}, config.grid.only, config.grid.override)
    store = open_store()
    if config.grid.dry_run:
        lines = preview_lines(grid, look(store), num_workers(config, len(grid.cells)))
        name_launcher_run(store, f"dry run of {grid.name}", "\n".join(f"- {line}" for line in lines)[:MAX_NOTE], {})
        return SweepOutcome("", tuple(lines), store.experiment_id)
    digests = data_digests(grid)
    whole = all(state.word == FINISHED for state in states_of(grid, look(store), digests).values())
    runs = sweeps_of(store, grid)
    if whole and (not runs or runs[-1].info.status == "FINISHED"):
        return _finished_before(store, grid, runs)
    engine = start_engine(config, len(grid.cells), store.uri)
    try:
        with hold_locks(store) as lock, open_runs() as opened:
            lead = Lead(store, grid, config, lock, opened)
            states = to_attempt(states_of(grid, look(store), digests), lead.since)
            schedule = Schedule(grid, states, engine.workers, config.work.seeds_together, config.work.retries)
            place = Place(store, environment(config, store.uri), runtime(config, engine))
            loop = Loop(grid, digests, schedule, lead, place)
            try:
                loop.run(engine, tell)
            finally:
                engine.close()
                _end_left(store, loop.tasks)
            return _conclude(store, grid, schedule, lead)
    finally:
        engine.close()


def _end_left(store: Store, tasks: set[str]) -> None:
    """Workers end their runs themselves; where one could not (killed, a lost node), the sweep does it."""
    with impatient_client():
        try:
            for run in search(store.client, f"{RUNNING} and tags.`{Tag.TASK}` != ''"):
                if run.data.tags[Tag.TASK] in tasks:
                    end_orphan(store, run, "the sweep")
            for lock in find_locks(store):
                if lock.tags.get(Tag.TASK) in tasks:
                    remove_lock(store, lock)
        except WRITE_FAILURES as error:
            logger.warning("runs of lost workers could not be ended (%s): use the repair command later", error)


def _conclude(store: Store, grid: Grid, schedule: Schedule, lead: Lead) -> SweepOutcome:
    """Seal the sweep's run, where this process keeps it.

    Raises:
        ValueError: cells failed; names them.
    """
    if lead.leads:
        show(lead.run, grid, schedule)
        log_files(lead.run, grid, schedule)
        lead.run.seal()
    failed = schedule.failed()
    if failed:
        (job, seed), why = failed[0]
        raise ValueError(
            f"{counted(len(failed), 'cell')} of {len(schedule.states)} failed; the first: {grid.jobs[job].name} "
            f"{name_of(seed)}: {why}; the same command tries them again"
        )
    lines = [f"sweep {lead.run.run_id}: {headline(schedule)}"]
    if schedule.elsewhere():
        lines.append(f"{counted(len(schedule.elsewhere()), 'cell')} left to the processes at work on them")
    return SweepOutcome(lead.run.run_id, tuple(lines), store.experiment_id)


def _finished_before(store: Store, grid: Grid, runs: list[Run]) -> SweepOutcome:
    run_id = runs[-1].info.run_id if runs else ""
    if run_id:
        point_launcher_at(store, run_id, "all cells of this grid were finished before")
    line = f"grid {grid.name}: all {counted(len(grid.cells), 'cell')} finished before; nothing to do"
    return SweepOutcome(run_id, (line,), store.experiment_id)
