"""Computes one task of a sweep: trains its pairs, then makes the paths and ensembles that follow, each once."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from lmc_mlflow.config.commands import InterpolateConfig
from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.errors import first_line
from lmc_mlflow.gpus import release_gpu
from lmc_mlflow.query.networks import endpoints_of_pair, lacks_weights
from lmc_mlflow.sweeps.grid import Cell, Job
from lmc_mlflow.sweeps.progress import (
    FAILED,
    FINISHED,
    runs_of_step,
    status_of_runs,
)
from lmc_mlflow.sweeps.steps import GridStep, Identity, identity_of_step, step_config
from lmc_mlflow.tracking.connection.store import Store, open_store
from lmc_mlflow.tracking.locks import LockedError, hold_locks
from lmc_mlflow.tracking.processes.process import working_on
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workers.pool import Ended, Leaving
from lmc_mlflow.workflows.ensemble.ensemble import ensemble
from lmc_mlflow.workflows.lifecycle.outcome import FINISHED_BEFORE
from lmc_mlflow.workflows.pair.pair_outcome import PairOutcome
from lmc_mlflow.workflows.pair.stopping import STOPPED, StopRule
from lmc_mlflow.workflows.pair.train_pair import train_free_pairs
from lmc_mlflow.workflows.path.by_epoch.over_epochs import interpolate_epochs
from lmc_mlflow.workflows.path.by_layer.interpolate_layers import interpolate_layers
from lmc_mlflow.workflows.path.interpolate import interpolate

MEASURE: Mapping[str, Callable[[InterpolateConfig, TrackedRun], object]] = {
    Kind.PATH: interpolate,
    Kind.PATH_BY_EPOCH: interpolate_epochs,
    Kind.PATH_BY_LAYER: interpolate_layers,
}
"""Kind of the run of a step -> what makes it."""
Step = tuple[GridStep, tuple[str, ...]]
"""A step and the endpoint runs that it is made of."""
ELSEWHERE = "elsewhere"
"""The word of an outcome whose cell another process computes."""


@dataclass(frozen=True)
class Task:
    """What a worker is given: some cells of a job, or (`pairs`) the steps that need all its cells.

    Attributes:
        name: unique; one process at a time works on it.
        job: the job; its cells are those to compute.
        pairs: the finished pair of each cell, where the job's ensembles of seeds are to be made.
        sweep: run id of the sweep, the parent of all that is made.
        experiment_id: where runs go.
        stop: stops hopeless pairs; None: all train to their end.
    """

    name: str
    job: Job
    pairs: tuple[str, ...]
    sweep: str
    experiment_id: str
    stop: StopRule | None = None


@dataclass(frozen=True)
class CellOutcome:
    """What became of a cell (or, without a seed, of a job's ensembles of seeds)."""

    seed: int | None
    word: str
    pair: str = ""
    why: str = ""


@dataclass(frozen=True)
class TaskResult:
    """A task that has ended: the outcome of each cell, or the reason why there are none."""

    task: Task
    outcomes: Sequence[CellOutcome]
    why: str = ""


def result_of(task: Task, ended: Ended) -> TaskResult:
    """Return the outcome of each cell of a task that a pool has ended, or why there are none."""
    if isinstance(ended.value, Exception):
        return TaskResult(task, [], first_line(ended.value))
    return TaskResult(task, ended.value or [], ended.death)


def compute_and_release(task: Task) -> list[CellOutcome] | Leaving:
    """Compute a task in a process of a pool, which keeps no memory of a GPU between tasks.

    The process leaves after an error from which CUDA does not recover, so that only the task that met it fails.
    """
    outcomes = compute(task)
    return outcomes if release_gpu() else Leaving(outcomes)


def compute(task: Task) -> list[CellOutcome]:
    """Compute a task in the process whose settings name the tracking store; every error becomes an outcome."""
    with working_on(task.name):
        try:
            return _make_seed_steps(task) if task.pairs else _make_cells(task)
        except Exception as error:  # noqa: BLE001 (any error at all is this task's alone, and is reported)
            seeds = [None] if task.pairs else [cell.config.model.seed for cell in task.job.cells]
            return [CellOutcome(seed, FAILED, "", first_line(error)) for seed in seeds]


def _make_cells(task: Task, apart_from: Sequence[str] = ()) -> list[CellOutcome]:
    """Train the pairs of some cells and make their steps; pairs with the run ids `apart_from` do not count."""
    store, cells = open_store(), task.job.cells
    parent = TrackedRun(store.client, task.sweep, task.experiment_id)
    outcomes = []
    for cell, pair in zip(cells, _train_usable(store, task, parent, apart_from), strict=True):
        outcome = CellOutcome(cell.config.model.seed, ELSEWHERE)
        if pair is not None and pair.how == STOPPED:
            why = store.client.get_run(pair.run_id).data.tags.get(Tag.STOPPED, "")
            outcome = replace(outcome, word=STOPPED, why=why)
        elif pair is not None:
            steps = _steps_of_cell(store, cell, pair.run_id)
            outcome = _make_steps(store, parent, replace(outcome, pair=pair.run_id), steps, cell)
        outcomes.append(outcome)
    return outcomes


def _train_usable(store: Store, task: Task, parent: TrackedRun, apart_from: Sequence[str]) -> list[PairOutcome | None]:
    """Train the pairs of some cells; again where a step is to be made and a bundle left out the weights for it."""
    cells = task.job.cells
    pairs = train_free_pairs([cell.config for cell in cells], parent, task.stop, apart_from)
    lost = {
        n: pair.run_id
        for n, (cell, pair) in enumerate(zip(cells, pairs, strict=True))
        if pair is not None and pair.how == FINISHED_BEFORE and _needs_lost_weights(store, cell, pair.run_id)
    }
    if lost:
        again = replace(task, job=replace(task.job, cells=tuple(cells[n] for n in lost)))
        found = _train_usable(store, again, parent, [*apart_from, *lost.values()])
        for n, pair in zip(lost, found, strict=True):
            pairs[n] = pair
    return pairs


def _needs_lost_weights(store: Store, cell: Cell, pair: str) -> bool:
    steps = _steps_of_cell(store, cell, pair)
    return lacks_weights(store.client, pair) and not _are_finished(store, steps, pair, cell)


def _make_seed_steps(task: Task) -> list[CellOutcome]:
    store = open_store()
    parent = TrackedRun(store.client, task.sweep, task.experiment_id)
    cells, pairs = task.job.cells, list(task.pairs)
    if not _are_finished(store, _seed_steps(store, task.job, pairs), "", cells[0]):
        lost = [n for n, pair in enumerate(pairs) if lacks_weights(store.client, pair)]
        again = replace(task, job=replace(task.job, cells=tuple(cells[n] for n in lost)))
        for n, outcome in zip(lost, _make_cells(again, [pairs[n] for n in lost]) if lost else (), strict=True):
            if outcome.word != FINISHED:
                return [replace(outcome, seed=None, pair="")]
            pairs[n] = outcome.pair
    return [_make_steps(store, parent, CellOutcome(None, ELSEWHERE), _seed_steps(store, task.job, pairs), cells[0])]


def _steps_of_cell(store: Store, cell: Cell, pair: str) -> list[Step]:
    return [(step, endpoints_of_pair(store.client, pair)) for step in cell.then]


def _seed_steps(store: Store, job: Job, pairs: Sequence[str]) -> list[Step]:
    ends = [endpoints_of_pair(store.client, pair) for pair in pairs]
    return [(step, tuple(end["AB".index(step.side)] for end in ends)) for step in job.seed_steps]


def _are_finished(store: Store, steps: Sequence[Step], pair: str, cell: Cell) -> bool:
    return all(_is_finished(store, identity_of_step(step, pair, members, cell.config)) for step, members in steps)


def _make_steps(
    store: Store,
    parent: TrackedRun,
    outcome: CellOutcome,
    steps: Sequence[Step],
    cell: Cell,
) -> CellOutcome:
    """Make each step on its own: one that fails does not stop the others."""
    words, why = [FINISHED], ""
    for step, members in steps:
        try:
            words.append(_make_step(store, parent, step, outcome.pair, members, cell))
        except Exception as error:  # noqa: BLE001 (any error at all is this step's alone, and is reported)
            words.append(FAILED)
            why = why or f"{step.name}: {first_line(error)}"
    word = next(word for word in (FAILED, ELSEWHERE, FINISHED) if word in words)
    return replace(outcome, word=word, why=why)


def _make_step(
    store: Store, parent: TrackedRun, step: GridStep, pair: str, members: tuple[str, ...], cell: Cell
) -> str:
    """Make one path or ensemble unless it is in the store; returns the word of its outcome."""
    identity = identity_of_step(step, pair, members, cell.config)
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
                MEASURE[step.run_kind](config, parent)
            else:
                ensemble(config, parent)
    return FINISHED


def _is_finished(store: Store, identity: Identity) -> bool:
    return status_of_runs(runs_of_step(store, identity)).word == FINISHED
