"""Previews a sweep without running it, in ten lines: what the store holds of it, and how long the rest may take."""

from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.commands import SweepConfig
from lmc_mlflow.config.options import write_value
from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.sweeps.estimate import cell_seconds, readable_time
from lmc_mlflow.sweeps.grid import Cell, Grid
from lmc_mlflow.sweeps.progress import FAILED, FINISHED, STATUS_WORDS, Snapshot, Status
from lmc_mlflow.sweeps.rounds import SETTLED, refinement_words
from lmc_mlflow.sweeps.run_loop import resume_stopped, statuses_of
from lmc_mlflow.terminal.closing import next_step
from lmc_mlflow.terminal.style import table

MAX_LINES = 10
MAX_WIDTH = 100
UNKNOWN = "unknown: no finished cell like it"


def preview_lines(grid: Grid, snapshot: Snapshot, workers: int, config: SweepConfig) -> list[str]:
    """Write the sums, a row for each data set and network as far as there is room, and the command that runs the grid.

    The data are not loaded, so finished pairs on any data count.

    Args:
        grid: read and validated.
        snapshot: of the store.
        workers: how many cells are computed at once.
        config: of the sweep.
    """
    statuses = resume_stopped(statuses_of(grid, snapshot, None), config.stopping)
    cells = [
        (cell, statuses[number, cell.config.model.seed]) for number, job in enumerate(grid.jobs) for cell in job.cells
    ]
    words = [status.word for _, status in cells]
    sums = ", ".join(f"{words.count(word)} {word}" for word in STATUS_WORDS if word in words)
    lines = [_cut(f"grid {grid.name}: {' '.join(grid.description.split())}"), f"{counted(len(words), 'cell')}: {sums}"]
    lines += filter(None, [refinement_words(grid, config.refining)])
    failed = [status.why for status in statuses.values() if status.word == FAILED]
    if failed:
        lines.append(_cut(f"first failure: {failed[0]}"))
    left = _left(cells, snapshot, workers)
    last = [f"left: {left}"] if left else []
    if not all(status.word in SETTLED for status in statuses.values()):
        last += next_step("run it", "sweep", **_given(config))
    return [*lines, *_rows(cells, snapshot, workers, MAX_LINES - len(lines) - len(last)), *last]


def _left(cells: list[tuple[Cell, Status]], snapshot: Snapshot, workers: int) -> str:
    """Say how long cells take by all workers together; empty where none is left."""
    open_cells = [(cell, status) for cell, status in cells if status.word not in SETTLED]
    seconds = [cell_seconds(cell, status, snapshot) for cell, status in open_cells]
    known, unknown = [value for value in seconds if value is not None], seconds.count(None)
    if not open_cells:
        return ""
    if not known:
        return UNKNOWN
    text = f"about {readable_time(sum(known) / workers)} for {counted(workers, 'worker')}"
    return text + (f", and {counted(unknown, 'cell')} {UNKNOWN}" if unknown else "")


def _rows(cells: list[tuple[Cell, Status]], snapshot: Snapshot, workers: int, room: int) -> list[str]:
    """Write the table of data sets and networks in some lines; one of them says how many rows there are more."""
    groups: dict[str, list[tuple[Cell, Status]]] = {}
    for cell, status in cells:
        groups.setdefault(f"{cell.config.data.dataset} {cell.config.model.model}", []).append((cell, status))
    shown = list(groups.items()) if len(groups) < room else list(groups.items())[: room - 2]
    rows = [
        [name, str(len(own)), str(sum(s.word == FINISHED for _, s in own)), _left(own, snapshot, workers).split(",")[0]]
        for name, own in shown
    ]
    more = [f"  ... and {counted(len(groups) - len(shown), 'row')} more"] if len(shown) < len(groups) else []
    return [*table(["data set and network", "cells", "finished", "left"], rows), *more]


def _given(config: SweepConfig) -> dict[str, str]:
    """List the parameters of a sweep that are not at their defaults, but for the dry run."""
    found = {
        name: write_value(value)
        for name, p in parameters(SweepConfig).items()
        if (value := getattr(getattr(config, p.section), name)) != p.default
    }
    return {name: text for name, text in found.items() if name != "dry_run"}


def _cut(text: str) -> str:
    return text if len(text) <= MAX_WIDTH else f"{text[: MAX_WIDTH - 4]} ..."
