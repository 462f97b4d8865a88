"""Runs a sweep: computes a grid from reading it to its last cell, alone or beside other sweeps of the same grid."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lmc_mlflow.config.commands import SweepConfig
from lmc_mlflow.contract import RUNNING, Tag
from lmc_mlflow.errors import first_line
from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.own_code import make_importable
from lmc_mlflow.query.runs import Run, search
from lmc_mlflow.sweeps.engines.table import (
    Engine,
    data_root,
    num_workers,
    start_engine,
    worker_runtime,
)
from lmc_mlflow.sweeps.grid import Grid
from lmc_mlflow.sweeps.grid_file import read_grid
from lmc_mlflow.sweeps.kept_room import kept_bytes
from lmc_mlflow.sweeps.ownership import SweepRun, sweeps_of
from lmc_mlflow.sweeps.preflight import data_digests
from lmc_mlflow.sweeps.preview import preview_lines
from lmc_mlflow.sweeps.progress import FINISHED, STOPPED, Status, read_snapshot
from lmc_mlflow.sweeps.rounds import SETTLED, Digests, known_rounds, next_round, refinable, round_line
from lmc_mlflow.sweeps.run_loop import (
    RunLoop,
    resume_stopped,
    retry_earlier_failures,
    statuses_of,
)
from lmc_mlflow.sweeps.schedule import Schedule, WorkItem
from lmc_mlflow.sweeps.starts import with_starts
from lmc_mlflow.sweeps.status import (
    headline,
    item_name,
    log_files,
    result_table,
    stop_line,
    update_run,
)
from lmc_mlflow.sweeps.verdicts import mark_refined
from lmc_mlflow.terminal.style import strip_paint
from lmc_mlflow.tracking.connection.client import WRITE_FAILURES, impatient_client
from lmc_mlflow.tracking.connection.store import Store, open_store
from lmc_mlflow.tracking.launcher_run import name_launcher_run, point_launcher_at
from lmc_mlflow.tracking.lifecycle import end_orphan, open_runs
from lmc_mlflow.tracking.locks import find_locks, hold_locks, remove_lock
from lmc_mlflow.workflows.pair.starting.kept_epochs import check_room

Tell = Callable[[str], None]
MAX_NOTE = 7000
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SweepOutcome:
    """The sweep's run (empty where nothing was logged), and the lines to print at the end."""

    run: str
    lines: tuple[str, ...]
    experiment_id: str


def sweep(config: SweepConfig, tell: Tell) -> SweepOutcome:
    """Compute a grid: skip what is finished, resume what was interrupted, report what fails.

    Args:
        config: which grid, and who computes it.
        tell: is given a line when a cell has ended.

    Raises:
        ValueError: the grid, its data or its networks; or, at the end, cells that failed.
        StoreError: the tracking store cannot be used.
    """
    make_importable(config.runtime.code)
    grid = read_grid(config.grid.grid, {"data_root": data_root(config)}, config.grid.only, config.grid.override)
    store = open_store()
    grid = refinable(with_starts(store, grid), config.refining)
    if config.grid.dry_run:
        snapshot = read_snapshot(store)
        grid, statuses, _ = known_rounds(grid, snapshot, config, None)
        lines = preview_lines(grid, snapshot, num_workers(config, len(grid.cells)), config)
        lines += [said] if (said := check_room(store, kept_bytes(grid, statuses))) else []
        name_launcher_run(
            store, f"dry run of {grid.name}", "\n".join(f"    {strip_paint(line)}" for line in lines)[:MAX_NOTE], {}
        )
        return SweepOutcome("", tuple(lines), store.experiment_id)
    grid, before, digests = known_rounds(grid, read_snapshot(store), config, data_digests(grid))
    assert digests is not None
    if said := check_room(store, kept_bytes(grid, before)):
        tell(said)
    is_finished = all(status.word in SETTLED for status in before.values())
    runs = sweeps_of(store, grid)
    if is_finished and (not runs or runs[-1].info.status == "FINISHED"):
        return _finished_before(store, before, grid, runs)
    if config.stopping.stop_hopeless:
        tell(stop_line(config.stopping))
    engine = start_engine(config, len(grid.cells), store)
    try:
        with hold_locks(store) as lock, open_runs() as opened:
            sweep_run = SweepRun(store, grid, config, lock, opened)
            statuses = resume_stopped(statuses_of(grid, read_snapshot(store), digests), config.stopping)
            statuses = retry_earlier_failures(statuses, sweep_run.since)
            schedule = Schedule(grid, statuses, engine.workers, config.work.seeds_together, config.work.retries)
            loop = RunLoop(grid, digests, schedule, sweep_run, worker_runtime(config, engine), config.stopping)
            try:
                grid, schedule = _run_rounds(config, loop, engine, tell, (grid, schedule, digests), store)
            finally:
                engine.close()
                _end_runs_of_lost_workers(store, loop.tasks)
            return _conclude(store, grid, schedule, sweep_run)
    finally:
        engine.close()


def _run_rounds(
    config: SweepConfig,
    loop: RunLoop,
    engine: Engine,
    tell: Tell,
    begun: tuple[Grid, Schedule, Digests],
    store: Store,
) -> tuple[Grid, Schedule]:
    """Compute a grid, then the cells that refinement adds to it, round by round; give what it has become.

    A process that leaves cells to others knows no verdict of theirs, and adds none.
    """
    grid, schedule, digests = begun
    if any(job.refinement for job in grid.jobs):
        tell(round_line(grid))
    while True:
        loop.run(engine, tell)
        if not config.refining.is_on or schedule.elsewhere():
            return grid, schedule
        further = next_round(grid, schedule.statuses, read_snapshot(store), config.refining)
        if further is grid:
            return grid, schedule
        tell(round_line(further))
        grid, digests = further, data_digests(further, digests)
        fresh = resume_stopped(statuses_of(grid, read_snapshot(store), digests), config.stopping)
        fresh = retry_earlier_failures(fresh, 0)
        if said := check_room(store, kept_bytes(grid, fresh)):
            tell(said)
        schedule = Schedule(
            grid, fresh | schedule.statuses, engine.workers, config.work.seeds_together, config.work.retries
        )
        loop.go_on(grid, schedule, digests)


def _end_runs_of_lost_workers(store: Store, tasks: set[str]) -> None:
    """End the runs of workers that could not do so themselves: killed, or on a lost node."""
    with impatient_client():
        try:
            for run in search(store.client, f"{RUNNING} and tags.`{Tag.TASK}` != ''"):
                if run.data.tags[Tag.TASK] in tasks:
                    end_orphan(store, run, "the sweep")
            for lock in find_locks(store):
                if lock.tags.get(Tag.TASK) in tasks:
                    remove_lock(store, lock)
        except WRITE_FAILURES as error:
            logger.warning(
                "runs of lost workers could not be ended (%s): use the repair command later", first_line(error)
            )


def _conclude(store: Store, grid: Grid, schedule: Schedule, sweep_run: SweepRun) -> SweepOutcome:
    """Seal the sweep's run if this process owns it.

    Raises:
        ValueError: cells failed; names them.
    """
    if sweep_run.is_owner:
        mark_refined(store, grid, schedule.statuses)
        update_run(sweep_run.run, grid, schedule)
        log_files(sweep_run.run, grid, schedule)
        sweep_run.run.seal()
    failed = schedule.failed()
    if failed:
        (job, seed), why = failed[0]
        raise ValueError(
            f"{counted(len(failed), 'cell')} of {len(schedule.statuses)} failed; the first: {grid.jobs[job].name} "
            f"{item_name(seed)}: {why}; the same command tries them again"
        )
    lines = [f"sweep {sweep_run.run.run_id}: {headline(schedule)}", *result_table(grid, schedule)]
    if schedule.elsewhere():
        lines.append(f"{counted(len(schedule.elsewhere()), 'cell')} left to the processes at work on them")
    return SweepOutcome(sweep_run.run.run_id, tuple(lines), store.experiment_id)


def _finished_before(store: Store, statuses: Mapping[WorkItem, Status], grid: Grid, runs: list[Run]) -> SweepOutcome:
    run_id = runs[-1].info.run_id if runs else ""
    if run_id:
        point_launcher_at(store, run_id, "all cells of this grid were finished before")
    cells = [statuses[cell.job, cell.config.model.seed].word for cell in grid.cells]
    how = f"all {counted(len(cells), 'cell')} finished before"
    if stopped := cells.count(STOPPED):
        how = f"{cells.count(FINISHED)} of {counted(len(cells), 'cell')} finished before, {stopped} stopped as hopeless"
    line = f"grid {grid.name}: {how}; nothing to do"
    return SweepOutcome(run_id, (line,), store.experiment_id)
