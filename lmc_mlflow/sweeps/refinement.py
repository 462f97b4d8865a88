"""Plans the cells that refinement adds to a grid, between neighbours whose verdicts differ."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lmc_mlflow.config.canonical import fingerprint, parameters
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.sweep import RefineConfig
from lmc_mlflow.contract import Kind
from lmc_mlflow.findings.axes import AXES, Axis, axis_of, kind_and_number, value_at
from lmc_mlflow.findings.verdicts import UNDECIDED
from lmc_mlflow.sweeps.grid import Grid, Job
from lmc_mlflow.sweeps.grid_file import name_jobs

NARROWEST = 1.5
"""A gap is halved where it is at least this many times as wide as the narrowest that is allowed: rounding moves
midpoints a little."""


@dataclass(frozen=True)
class _Gap:
    """Two neighbouring jobs with different verdicts.

    Attributes:
        is_certain: whether neither verdict is undecided.
        width: in gaps of the grid's own values.
        first: number of the job with the lower value.
        axis: along which they are neighbours.
        middle: the value between them.
    """

    is_certain: bool
    width: float
    first: int
    axis: Axis
    middle: float

    @property
    def rank(self) -> tuple[bool, float, int, int]:
        """Give the place in the order of refinement: certain verdicts first, then wide gaps, then the grid's order."""
        return not self.is_certain, -round(self.width, 2), self.first, AXES.index(self.axis.name)


def check_refinable(grid: Grid) -> None:
    """Check that a grid has verdicts and neighbours.

    Raises:
        ValueError: no path is measured, or no number varies.
    """
    if not all(any(step.run_kind == Kind.PATH for step in job.cells[0].then) for job in grid.jobs):
        raise ValueError(
            f"grid {grid.name}: refine compares the verdicts of paths, and it has cells without one; "
            "list '- interpolate: {}' under then"
        )
    if not any(len(members) > 1 for _, members in _lines(grid)):
        raise ValueError(
            f"grid {grid.name}: refine adds cells between values of a number, and no two cells differ in one number "
            f"alone; list several values of one of {', '.join(AXES)}"
        )


def next_jobs(grid: Grid, verdicts: Sequence[str], config: RefineConfig) -> tuple[Job, ...]:
    """Plan the jobs of the next round; none where no neighbours differ, or the number of cells is used up.

    The same grid with the same verdicts gives the same jobs. Those of a round are halfway between neighbours along one
    axis whose verdicts differ, wherever their gap may be halved.

    Args:
        grid: with the jobs of earlier rounds.
        verdicts: `findings.verdicts.majority` of each job; empty where nothing is known: it differs from none.
        config: how many cells there may be, and how narrow gaps may be.
    """
    gaps = sorted(_gaps(grid, verdicts, config.refine_halvings), key=lambda gap: gap.rank)
    left = config.refine_cells - sum(len(job.cells) for job in grid.jobs if job.refinement)
    known = {cell.key for cell in grid.cells}
    number = 1 + max(job.refinement for job in grid.jobs)
    added: list[Job] = []
    for gap in gaps:
        job = _job_between(grid.jobs[gap.first], gap, number)
        if job.cells[0].key in known:
            continue
        if len(job.cells) > left:
            break
        known |= {cell.key for cell in job.cells}
        left -= len(job.cells)
        added.append(job)
    return tuple(added)


def with_jobs(grid: Grid, jobs: Sequence[Job]) -> Grid:
    """Add jobs to a grid, behind its own."""
    return replace(grid, jobs=name_jobs([*grid.jobs, *jobs]))


def _gaps(grid: Grid, verdicts: Sequence[str], halvings: int) -> Iterator[_Gap]:
    own: dict[tuple[str, str], set[float]] = {}
    for number, job in enumerate(grid.jobs):
        if not job.refinement:
            for name, (kind, value) in _coordinates(grid.jobs[number]).items():
                own.setdefault((name, kind), set()).add(value)
    for (name, kind), members in _lines(grid):
        axis = axis_of(name, kind, own[name, kind])
        for (low, first), (high, second) in itertools.pairwise(members):
            differ = {verdicts[first], verdicts[second]}
            width, middle = axis.gaps_between(low, high), axis.midpoint(low, high)
            if len(differ) == 2 and "" not in differ and middle is not None and width * 2**halvings >= NARROWEST:
                yield _Gap(UNDECIDED not in differ, width, first, axis, middle)


def _lines(grid: Grid) -> Iterator[tuple[tuple[str, str], list[tuple[float, int]]]]:
    """Yield the jobs that differ in one number alone, as (number, job), sorted; each line with its axis' name and kind.

    They have the same seeds and the same steps.
    """
    lines: dict[tuple[Any, ...], list[tuple[float, int]]] = {}
    for number, job in enumerate(grid.jobs):
        seeds, then = tuple(cell.config.model.seed for cell in job.cells), (job.cells[0].then, job.seed_steps)
        for name, (kind, value) in _coordinates(job).items():
            rest = fingerprint(job.cells[0].config, without=(name, "seed"))
            lines.setdefault((name, kind, rest, seeds, then), []).append((value, number))
    for (name, kind, *_), members in lines.items():
        yield (name, kind), sorted(members)


def _coordinates(job: Job) -> Mapping[str, tuple[str, float]]:
    """Give the kind and the number of a job on every axis where it has one."""
    config, known = job.cells[0].config, parameters(TrainPairConfig)
    found = {name: kind_and_number(name, getattr(getattr(config, known[name].section), name)) for name in AXES}
    return {name: place for name, place in found.items() if place is not None}


def _job_between(job: Job, gap: _Gap, refinement: int) -> Job:
    """Make a job like another one, with another value on an axis."""
    name = gap.axis.name
    section = parameters(TrainPairConfig)[name].section
    cells = []
    for cell in job.cells:
        old = getattr(cell.config, section)
        own = replace(old, **{name: value_at(name, getattr(old, name), gap.middle)})
        cells.append(replace(cell, config=replace(cell.config, **{section: own})))
    return replace(job, cells=tuple(cells), refinement=refinement)
