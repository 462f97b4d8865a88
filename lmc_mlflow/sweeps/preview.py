"""Previews a sweep without running it: its cells, what the store holds of them, and how long the rest may take."""

from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.sweeps.estimate import cell_seconds, readable_time
from lmc_mlflow.sweeps.grid import Grid
from lmc_mlflow.sweeps.progress import FINISHED, STATUS_WORDS, Snapshot
from lmc_mlflow.sweeps.run_loop import statuses_of


def preview_lines(grid: Grid, snapshot: Snapshot, workers: int) -> list[str]:
    """Write one line for each cell, then the sums. The data are not loaded, so finished pairs on any data count.

    Args:
        grid: read and validated.
        snapshot: of the store.
        workers: how many cells are computed at once.
    """
    statuses = statuses_of(grid, snapshot, None)
    lines, known, unknown = [f"grid {grid.name}: {grid.description}"], 0.0, 0
    for number, job in enumerate(grid.jobs):
        for cell in job.cells:
            status = statuses[number, cell.config.model.seed]
            seconds = cell_seconds(cell, status, snapshot)
            known += seconds or 0.0
            unknown += seconds is None
            left = "unknown" if seconds is None else readable_time(seconds)
            left = "" if status.word == FINISHED else f", {left}"
            lines.append(f"{job.name} seed {cell.config.model.seed}: {status.word}{left}")
            if status.why:
                lines.append(f"    {status.why}")
        if job.seed_steps:
            names = ", ".join(step.name for step in job.seed_steps)
            lines.append(f"{job.name}, all seeds: {statuses[number, None].word} ({names})")
    words = [status.word for (_, seed), status in statuses.items() if seed is not None]
    sums = ", ".join(f"{words.count(word)} {word}" for word in STATUS_WORDS if word in words)
    lines.append(f"{counted(len(words), 'cell')}: {sums}")
    parts = [f"about {readable_time(known / workers)} for {counted(workers, 'worker')}"] if known else []
    parts += [f"{counted(unknown, 'cell')} unlike any finished one"] if unknown else []
    if parts:
        lines.append(f"left: {'; '.join(parts)}")
    return lines
