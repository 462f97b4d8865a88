"""Writes the status of a grid into the sweep's own run: description, counts, and the cells as a file."""

from typing import Any

import yaml

from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.options import write_value
from lmc_mlflow.config.sweep import StopConfig
from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.findings.hopeless import hopeless
from lmc_mlflow.sweeps.grid import Grid, Job
from lmc_mlflow.sweeps.progress import FAILED, FINISHED, RUNNING, STOPPED
from lmc_mlflow.sweeps.schedule import Schedule, WorkItem
from lmc_mlflow.sweeps.steps import PATH, GridStep
from lmc_mlflow.terminal.style import table
from lmc_mlflow.tracking.run import TrackedRun

MAX_DESCRIPTION = 7000
"""MLflow cuts a tag at 8,000 characters without saying so."""
MAX_WHY = 150


def headline(schedule: Schedule) -> str:
    """Write the numbers in one line."""
    words = [status.word for (_, seed), status in schedule.statuses.items() if seed is None]
    stopped = schedule.count(STOPPED)
    more = f", {words.count(FINISHED)} of {counted(len(words), 'ensemble')} of seeds" if words else ""
    return (
        f"{schedule.count(FINISHED)} of {counted(len(schedule.cells), 'cell')} finished{more}; "
        f"{schedule.count(RUNNING)} at work, {schedule.count(FAILED)} failed"
        + (f", {stopped} stopped as hopeless" if stopped else "")
    )


def stop_line(config: StopConfig) -> str:
    """Say whether hopeless pairs are stopped now, and on which grounds."""
    found = hopeless((), config.stop_epoch)
    return f"stop_hopeless: {'active' if found.is_active else 'not active'}; {found.why}"


def result_table(grid: Grid, schedule: Schedule) -> list[str]:
    """Lay out how many cells of each data set and network there are, and how far they are, for a terminal."""
    groups: dict[str, list[str]] = {}
    for number, job in enumerate(grid.jobs):
        for cell in job.cells:
            name = f"{cell.config.data.dataset} {cell.config.model.model}"
            groups.setdefault(name, []).append(schedule.statuses[number, cell.config.model.seed].word)
    rows = [[name, *(str(n) for n in (len(w), w.count(FINISHED), w.count(RUNNING)))] for name, w in groups.items()]
    return table(["data set and network", "cells", "finished", "at work"], rows)


def description(grid: Grid, schedule: Schedule) -> str:
    """Describe the status of the grid in Markdown: numbers first, then one row for each job."""
    text = f"**{headline(schedule)}**\n\n{grid.description}\n\n"
    text += "| cells | finished | at work | failed |\n|---|---|---|---|\n"
    for number, job in enumerate(grid.jobs):
        row = _row(number, job, schedule)
        if len(text) + len(row) > MAX_DESCRIPTION:
            return text + f"\n... and {counted(len(grid.jobs) - number, 'row')} more: see `cells.json`."
        text += row
    return text


def _row(number: int, job: Job, schedule: Schedule) -> str:
    items: list[WorkItem] = [(number, cell.config.model.seed) for cell in job.cells]
    if job.seed_steps:
        items.append((number, None))
    statuses = {item: schedule.statuses[item] for item in items}
    words = [status.word for status in statuses.values()]
    failed = "; ".join(
        f"{item_name(seed)}: {status.why[:MAX_WHY]}".replace("|", "/")
        for (_, seed), status in statuses.items()
        if status.word == FAILED
    )
    name = f"{job.name} (refinement {job.refinement})" if job.refinement else job.name
    return f"| {name} | {words.count(FINISHED)} of {len(words)} | {words.count(RUNNING)} | {failed} |\n"


def item_name(seed: int | None) -> str:
    """Name a cell of a job, or its ensembles of all seeds, by the seed."""
    return "its seeds together" if seed is None else f"seed {seed}"


def cell_rows(grid: Grid, schedule: Schedule) -> list[dict[str, Any]]:
    """List the rows of `cells.json`."""
    keys = {(cell.job, cell.config.model.seed): cell.key for cell in grid.cells}
    return [
        {
            "job": grid.jobs[job].name,
            "refinement": grid.jobs[job].refinement,
            "seed": seed,
            "state": status.word,
            "pair": status.pair,
            "error": status.why,
            "fingerprint": keys.get((job, seed or 0), "") if seed is not None else "",
        }
        for (job, seed), status in schedule.statuses.items()
    ]


def update_run(run: TrackedRun, grid: Grid, schedule: Schedule) -> None:
    """Write the current description and counts into the sweep's run."""
    run.describe(description(grid, schedule))
    counts = {"finished": schedule.count(FINISHED), "failed": schedule.count(FAILED), "total": len(schedule.cells)}
    if stopped := schedule.count(STOPPED):
        counts["stopped"] = stopped
    run.log_metrics({f"cells/{name}": float(value) for name, value in counts.items()})


def log_files(run: TrackedRun, grid: Grid, schedule: Schedule) -> None:
    """Log the grid as it was validated, in the form of a grid file, and the status of every cell."""
    run.log_text(grid_yaml(grid), "grid.yaml")
    run.log_json(cell_rows(grid, schedule), "cells.json")


def grid_yaml(grid: Grid) -> str:
    """Write an equal grid as YAML, with every job in full."""
    cells = [
        {
            **_settings(job.cells[0].config),
            "seeds": [cell.config.model.seed for cell in job.cells],
            "then": [_step_yaml(step) for step in (*job.cells[0].then, *job.seed_steps)],
        }
        for job in grid.jobs
    ]
    return yaml.safe_dump({"description": grid.description, "cells": cells}, sort_keys=False)


def _settings(config: TrainPairConfig) -> dict[str, str]:
    settings = {}
    for p in parameters(TrainPairConfig).values():
        value = getattr(getattr(config, p.section), p.name)
        if value != p.default and p.section != "runtime" and p.name not in ("seed", "data_root"):
            settings[p.name] = write_value(value)
    return settings


def _step_yaml(step: GridStep) -> dict[str, dict[str, str]]:
    if step.kind == PATH:
        return {"interpolate": dict(step.texts)}
    side = {"side": step.side} if step.side else {}
    return {"ensemble": {"sampling": step.kind, **side, **dict(step.texts)}}
