"""What does a worker do with a task? Train the pairs, then all that follows them, each thing once."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from lmc_mlflow.config.commands import InterpolateConfig
from lmc_mlflow.contract import LAUNCHER_RUN, TASK_VARIABLE
from lmc_mlflow.errors import first_line
from lmc_mlflow.query.networks import endpoints_of_pair
from lmc_mlflow.sweeps.grid import Cell, Job
from lmc_mlflow.sweeps.progress import (
    FAILED,
    FINISHED,
    runs_of_step,
    state_of_runs,
)
from lmc_mlflow.sweeps.steps import Identity, Step, step_config, wanted
from lmc_mlflow.tracking.locks import LockedError, hold_locks
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.tracking.store import Store, open_store
from lmc_mlflow.workflows.ensemble.ensemble import ensemble
from lmc_mlflow.workflows.pair.train_pair import train_free_pairs
from lmc_mlflow.workflows.path.interpolate import interpolate

ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class Task:
    """What a worker is given: some cells of a job, or (`pairs`) what is made of all its cells together.

    Attributes:
        name: unique; one process at a time works on it.
        job: the job; its cells are those to work on.
        pairs: the finished pair of each cell, where the job's ensembles of seeds are to be made.
        sweep: run that everything hangs under.
        experiment_id: where runs go.
        environment: what the worker's process is to know of MLflow.
    """

    name: str
    job: Job
    pairs: tuple[str, ...]
    sweep: str
    experiment_id: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Report:
    """What became of a cell (or, without a seed, of a job's ensembles of seeds)."""

    seed: int | None
    word: str
    pair: str = ""
    why: str = ""


@dataclass(frozen=True)
class Done:
    """A task that is over: its reports, or why there are none."""

    task: Task
    reports: Sequence[Report]
    why: str = ""


def attempt(task: Task) -> list[Report]:
    """Work on a task; whatever goes wrong is reported and stays this task's own."""
    with _environment(task):
        try:
            return _together(task) if task.pairs else _cells(task)
        except Exception as error:  # noqa: BLE001 (any error at all is this task's alone, and is reported)
            seeds = [None] if task.pairs else [cell.config.model.seed for cell in task.job.cells]
            return [Report(seed, FAILED, "", first_line(error)) for seed in seeds]


@contextmanager
def _environment(task: Task) -> Iterator[None]:
    """Where this task's runs go; the run that `mlflow run` started is the sweep's."""
    settings = {**task.environment, TASK_VARIABLE: task.name, "MLFLOW_EXPERIMENT_ID": task.experiment_id}
    names = (*settings, LAUNCHER_RUN, "MLFLOW_EXPERIMENT_NAME")
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _cells(task: Task) -> list[Report]:
    store, cells = open_store(), task.job.cells
    parent = TrackedRun(store.client, task.sweep, task.experiment_id)
    outcomes = train_free_pairs([cell.config for cell in cells], parent)
    reports = []
    for cell, outcome in zip(cells, outcomes, strict=True):
        report = Report(cell.config.model.seed, ELSEWHERE)
        if outcome is not None:
            ends = (outcome.endpoints["A"], outcome.endpoints["B"])
            report = _follow(store, parent, replace(report, pair=outcome.run_id), [(s, ends) for s in cell.then], cell)
        reports.append(report)
    return reports


def _together(task: Task) -> list[Report]:
    store = open_store()
    parent = TrackedRun(store.client, task.sweep, task.experiment_id)
    ends = [endpoints_of_pair(store.client, pair) for pair in task.pairs]
    steps = [(step, tuple(end["AB".index(step.side)] for end in ends)) for step in task.job.together]
    return [_follow(store, parent, Report(None, ELSEWHERE), steps, task.job.cells[0])]


def _follow(
    store: Store, parent: TrackedRun, report: Report, steps: Sequence[tuple[Step, tuple[str, ...]]], cell: Cell
) -> Report:
    """Make what follows, each step on its own: one that fails leaves the others."""
    words, why = [FINISHED], ""
    for step, members in steps:
        try:
            words.append(_make(store, parent, step, report.pair, members, cell))
        except Exception as error:  # noqa: BLE001 (any error at all is this step's alone, and is reported)
            words.append(FAILED)
            why = why or f"{step.name}: {first_line(error)}"
    word = next(word for word in (FAILED, ELSEWHERE, FINISHED) if word in words)
    return replace(report, word=word, why=why)


def _make(store: Store, parent: TrackedRun, step: Step, pair: str, members: tuple[str, ...], cell: Cell) -> str:
    """Make one path or ensemble, unless it is there; what came of it."""
    identity = wanted(step, pair, members, cell.config)
    if _is_finished(store, identity):
        return FINISHED
    with hold_locks(store) as lock:
        try:
            lock("step-" + hashlib.sha256("|".join((store.experiment_id, *identity)).encode()).hexdigest()[:32])
        except LockedError:
            return ELSEWHERE
        if not _is_finished(store, identity):
            config = step_config(step, pair, members, cell.config)
            if isinstance(config, InterpolateConfig):
                interpolate(config, parent)
            else:
                ensemble(config, parent)
    return FINISHED


def _is_finished(store: Store, identity: Identity) -> bool:
    return state_of_runs(runs_of_step(store, identity)).word == FINISHED
