"""What does the sweep's own run say of its grid? Description, counts, and the cells as a file."""

from typing import Any

import yaml

from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.options import write_value
from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.sweeps.grid import Grid, Job
from lmc_mlflow.sweeps.progress import FAILED, FINISHED, RUNNING
from lmc_mlflow.sweeps.schedule import Schedule, Unit
from lmc_mlflow.sweeps.steps import Step
from lmc_mlflow.tracking.run import TrackedRun

MAX_DESCRIPTION = 7000
"""A tag is cut at 8,000 characters without a word."""
MAX_WHY = 150


def headline(schedule: Schedule) -> str:
    """The numbers, in one line."""
    together = [state.word for (_, seed), state in schedule.states.items() if seed is None]
    more = f", {together.count(FINISHED)} of {counted(len(together), 'ensemble')} of seeds" if together else ""
    return (
        f"{schedule.count(FINISHED)} of {counted(len(schedule.cells), 'cell')} finished{more}; "
        f"{schedule.count(RUNNING)} at work, {schedule.count(FAILED)} failed"
    )


def description(grid: Grid, schedule: Schedule) -> str:
    """The state of the grid as Markdown: numbers first, then one row a job."""
    text = f"**{headline(schedule)}**\n\n{grid.description}\n\n"
    text += "| cells | finished | at work | failed |\n|---|---|---|---|\n"
    for number, job in enumerate(grid.jobs):
        row = _row(number, job, schedule)
        if len(text) + len(row) > MAX_DESCRIPTION:
            return text + f"\n... and {counted(len(grid.jobs) - number, 'row')} more: see `cells.json`."
        text += row
    return text


def _row(number: int, job: Job, schedule: Schedule) -> str:
    units: list[Unit] = [(number, cell.config.model.seed) for cell in job.cells]
    if job.together:
        units.append((number, None))
    states = {unit: schedule.states[unit] for unit in units}
    words = [state.word for state in states.values()]
    failed = "; ".join(
        f"{name_of(seed)}: {state.why[:MAX_WHY]}".replace("|", "/")
        for (_, seed), state in states.items()
        if state.word == FAILED
    )
    return f"| {job.name} | {words.count(FINISHED)} of {len(words)} | {words.count(RUNNING)} | {failed} |\n"


def name_of(seed: int | None) -> str:
    """A cell of a job."""
    return "its seeds together" if seed is None else f"seed {seed}"


def cell_rows(grid: Grid, schedule: Schedule) -> list[dict[str, Any]]:
    """The content of `cells.json`."""
    keys = {(cell.job, cell.config.model.seed): cell.key for cell in grid.cells}
    return [
        {
            "job": grid.jobs[job].name,
            "seed": seed,
            "state": state.word,
            "pair": state.pair,
            "error": state.why,
            "fingerprint": keys.get((job, seed or 0), "") if seed is not None else "",
        }
        for (job, seed), state in schedule.states.items()
    ]


def show(run: TrackedRun, grid: Grid, schedule: Schedule) -> None:
    """Bring the sweep's run up to date."""
    run.describe(description(grid, schedule))
    counts = {"finished": schedule.count(FINISHED), "failed": schedule.count(FAILED), "total": len(schedule.cells)}
    run.log_metrics({f"cells/{name}": float(value) for name, value in counts.items()})


def log_files(run: TrackedRun, grid: Grid, schedule: Schedule) -> None:
    """The grid as it was validated, which is a grid again, and the state of every cell."""
    run.log_text(grid_yaml(grid), "grid.yaml")
    run.log_json(cell_rows(grid, schedule), "cells.json")


def grid_yaml(grid: Grid) -> str:
    """A grid that says the same, every job written out."""
    cells = [
        {
            **_settings(job.cells[0].config),
            "seeds": [cell.config.model.seed for cell in job.cells],
            "then": [_spelled(step) for step in (*job.cells[0].then, *job.together)],
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


def _spelled(step: Step) -> dict[str, dict[str, str]]:
    if step.kind == "path":
        return {"interpolate": dict(step.texts)}
    side = {"side": step.side} if step.side else {}
    return {"ensemble": {"sampling": step.kind, **side, **dict(step.texts)}}
