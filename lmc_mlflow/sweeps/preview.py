"""What would a sweep do? Its cells, what the store holds of them, and how long the rest may take; nothing is run."""

from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.sweeps.estimate import cell_seconds, in_words
from lmc_mlflow.sweeps.grid import Grid
from lmc_mlflow.sweeps.progress import FINISHED, STATES, Snapshot
from lmc_mlflow.sweeps.run_loop import states_of


def preview_lines(grid: Grid, snapshot: Snapshot, workers: int) -> list[str]:
    """One line a cell, then the sums. Without the data at hand, finished pairs on any data count as the cell's.

    Args:
        grid: read and validated.
        snapshot: of the store.
        workers: how many cells are at work at once.
    """
    states = states_of(grid, snapshot, None)
    lines, known, unknown = [f"grid {grid.name}: {grid.description}"], 0.0, 0
    for number, job in enumerate(grid.jobs):
        for cell in job.cells:
            state = states[number, cell.config.model.seed]
            seconds = cell_seconds(cell, state, snapshot)
            known += seconds or 0.0
            unknown += seconds is None
            left = "" if state.word == FINISHED else f", {in_words(seconds)}" if seconds is not None else ", unknown"
            lines.append(f"{job.name} seed {cell.config.model.seed}: {state.word}{left}")
            if state.why:
                lines.append(f"    {state.why}")
        if job.together:
            names = ", ".join(step.name for step in job.together)
            lines.append(f"{job.name}, all seeds: {states[number, None].word} ({names})")
    words = [states[number, cell.config.model.seed].word for number, job in enumerate(grid.jobs) for cell in job.cells]
    sums = ", ".join(f"{words.count(word)} {word}" for word in STATES if word in words)
    lines.append(f"{counted(len(words), 'cell')}: {sums}")
    parts = [f"about {in_words(known / workers)} for {counted(workers, 'worker')}"] if known else []
    parts += [f"{counted(unknown, 'cell')} unlike any finished one"] if unknown else []
    if parts:
        lines.append(f"left: {'; '.join(parts)}")
    return lines
