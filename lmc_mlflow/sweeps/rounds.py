"""Follows the rounds in which refinement adds cells to a grid, as far as the store has verdicts."""

from collections.abc import Mapping
from dataclasses import replace

from lmc_mlflow.config.commands import SweepConfig
from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.config.sweep import RefineConfig
from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.sweeps.grid import Grid
from lmc_mlflow.sweeps.preflight import data_digests
from lmc_mlflow.sweeps.progress import FINISHED, STOPPED, Snapshot, Status
from lmc_mlflow.sweeps.refinement import check_refinable, next_jobs, with_jobs
from lmc_mlflow.sweeps.run_loop import resume_stopped, statuses_of
from lmc_mlflow.sweeps.schedule import WorkItem
from lmc_mlflow.sweeps.verdicts import job_verdicts

SETTLED = (FINISHED, STOPPED)
"""Words of cells for which nothing is left to do."""
Digests = Mapping[DataConfig, str]


def refinable(grid: Grid, config: RefineConfig) -> Grid:
    """Give the grid that remembers how it is refined; one that is not refined as it is.

    Raises:
        ValueError: it cannot be refined.
    """
    if not config.is_on:
        return grid
    check_refinable(grid)
    return replace(grid, refining=f"{config.refine} {config.refine_cells} {config.refine_halvings}")


def next_round(grid: Grid, statuses: Mapping[WorkItem, Status], snapshot: Snapshot, config: RefineConfig) -> Grid:
    """Add the jobs of the next round, planned from what has been measured; the same grid where there are none."""
    jobs = next_jobs(grid, job_verdicts(grid, statuses, snapshot), config) if config.is_on else ()
    return with_jobs(grid, jobs) if jobs else grid


def known_rounds(
    grid: Grid, snapshot: Snapshot, config: SweepConfig, digests: Digests | None
) -> tuple[Grid, dict[WorkItem, Status], Digests | None]:
    """Add every round that follows from finished ones: the grid as an earlier sweep has left it.

    Args:
        grid: of the file.
        snapshot: of the store.
        config: how it is refined, and whether pairs that were stopped are left as they are.
        digests: of its data; None: no data are loaded, and pairs on any data count.

    Returns:
        The grid, the statuses of its cells, and the digests of its data.
    """
    while True:
        statuses = resume_stopped(statuses_of(grid, snapshot, digests), config.stopping)
        if any(status.word not in SETTLED for status in statuses.values()):
            return grid, statuses, digests
        further = next_round(grid, statuses, snapshot, config.refining)
        if further is grid:
            return grid, statuses, digests
        grid = further
        digests = None if digests is None else data_digests(grid, digests)


def round_line(grid: Grid) -> str:
    """Say what the last round of a grid has added."""
    number = max(job.refinement for job in grid.jobs)
    jobs = [job for job in grid.jobs if job.refinement == number]
    cells = counted(sum(len(job.cells) for job in jobs), "cell")
    return f"refinement {number}: {cells} between neighbours whose verdicts differ"


def refinement_words(grid: Grid, config: RefineConfig) -> str:
    """Say how many cells refinement has added and how many more it may add; empty where it is off."""
    if not config.is_on:
        return ""
    added = sum(len(job.cells) for job in grid.jobs if job.refinement)
    return f"refine={config.refine}: {counted(added, 'cell')} added so far, up to {config.refine_cells} in all"
