"""Reads from the store how far each cell of a grid is, with one search for each kind of run."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.starting import kept_epochs, missing_epochs
from lmc_mlflow.contract import Artifact, Kind, Tag, where, where_tags
from lmc_mlflow.query.networks import by_side
from lmc_mlflow.query.runs import Run, search
from lmc_mlflow.query.verified_artifacts import left_out
from lmc_mlflow.sweeps.grid import Cell, Job
from lmc_mlflow.sweeps.steps import LMC, PATHS, GridStep, Identity, identity_of_run, identity_of_step
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.workflows.lifecycle.previous_runs import sort_runs
from lmc_mlflow.workflows.pair.stopping import STOPPED as STOPPED

FINISHED, RUNNING, INTERRUPTED, FAILED, TO_DO = "finished", "running", "interrupted", "failed", "to do"
STATUS_WORDS = (FINISHED, STOPPED, RUNNING, INTERRUPTED, FAILED, TO_DO)
"""A pair that was stopped is an interrupted one that a sweep with `stop_hopeless` leaves as it is."""


@dataclass(frozen=True)
class Status:
    """How far a cell or a step is.

    Attributes:
        word: one of STATUS_WORDS.
        why: where it failed or was stopped, the reason.
        ended: where it failed, the time in milliseconds since 1970.
        pair: run id of the finished pair, if there is one.
    """

    word: str
    why: str = ""
    ended: int = 0
    pair: str = ""


@dataclass(frozen=True)
class Snapshot:
    """What the store held of pairs, paths and ensembles at one moment.

    Attributes:
        pairs: (fingerprint, digest of the data) -> runs, oldest first.
        ends: pair run -> its endpoints A and B.
        without_weights: pair runs that were imported without the checkpoint of an endpoint.
        steps: identity of a path or ensemble -> its runs.
    """

    pairs: Mapping[tuple[str, str], list[Run]]
    ends: Mapping[str, tuple[str, str]]
    without_weights: Container[str]
    steps: Mapping[Identity, list[Run]]

    def of_pair(self, fingerprint: str, digest: str | None) -> list[Run]:
        """List the runs of a configuration on these data, or without a digest on any data."""
        if digest is not None:
            return self.pairs.get((fingerprint, digest), [])
        return [run for (known, _), runs in self.pairs.items() if known == fingerprint for run in runs]


def read_snapshot(store: Store) -> Snapshot:
    """Read the store: one search for each kind of run."""

    def runs(kind: str) -> list[Run]:
        return search(store.client, where(kind=kind), [store.experiment_id])

    pairs: dict[tuple[str, str], list[Run]] = {}
    for run in runs(Kind.PAIR):
        tags = run.data.tags
        pairs.setdefault((tags.get(Tag.FINGERPRINT, ""), tags.get(Tag.DATA_DIGEST, "")), []).append(run)
    endpoints: dict[str, list[Run]] = {}
    for run in runs(Kind.ENDPOINT):
        endpoints.setdefault(run.data.tags.get("mlflow.parentRunId", ""), []).append(run)
    sides = {pair: {side: run.info.run_id for side, run in by_side(found).items()} for pair, found in endpoints.items()}
    lost = {pair for pair, found in endpoints.items() if any(Artifact.CHECKPOINT in left_out(run) for run in found)}
    steps: dict[Identity, list[Run]] = {}
    for run in [run for kind in (*PATHS, Kind.ENSEMBLE) for run in runs(kind)]:
        steps.setdefault(identity_of_run(run.data.tags), []).append(run)
    return Snapshot(pairs, {pair: (ends.get("A", ""), ends.get("B", "")) for pair, ends in sides.items()}, lost, steps)


def runs_of_step(store: Store, identity: Identity) -> list[Run]:
    """Search the runs of one path or ensemble."""
    if identity[0] in PATHS:
        tags = {Tag.KIND: identity[0], Tag.RUN_A: identity[1], Tag.RUN_B: identity[2]}
    else:
        made_of = Tag.PAIR if identity[0] == LMC else Tag.MEMBERS
        tags = {Tag.KIND: Kind.ENSEMBLE, Tag.SAMPLING: identity[0], made_of: identity[1]}
    return search(store.client, where_tags({**tags, Tag.FINGERPRINT: identity[-1]}), [store.experiment_id])


def status_of_runs(runs: Sequence[Run]) -> Status:
    """Say how far the thing is that these runs, oldest first, attempted."""
    found = sort_runs(runs)
    if found.finished is not None:
        return Status(FINISHED, pair=found.finished.info.run_id)
    if found.at_work is not None:
        return Status(RUNNING)
    last = found.interrupted
    if last is None:
        return Status(TO_DO)
    if last.info.status == "FAILED":
        return Status(FAILED, last.data.tags.get(Tag.ERROR, ""), int(last.info.end_time or 0))
    if last.info.status == "KILLED" and last.data.tags.get(Tag.STOPPED):
        return Status(STOPPED, last.data.tags[Tag.STOPPED])
    return Status(INTERRUPTED)


def status_of_cell(cell: Cell, snapshot: Snapshot, digest: str | None) -> Status:
    """Say how far a cell is: its pair and every step that follows it.

    Args:
        cell: of a grid.
        snapshot: of the store.
        digest: of its data; None where they have not been loaded: pairs on any data count.
    """
    return _status_of(cell, snapshot, snapshot.of_pair(cell.key, digest))


def _status_of(cell: Cell, snapshot: Snapshot, runs: Sequence[Run]) -> Status:
    """Say how far a cell is by these runs of its pair, oldest first.

    A pair without the weights that a step needs does not count: the worker passes over it too.
    """
    pair = status_of_runs(runs)
    if pair.word != FINISHED:
        return pair
    if _lacks_epochs(cell.config, next(run for run in runs if run.info.run_id == pair.pair)):
        return Status(TO_DO)  # whoever takes it up says what to do about it
    ends = snapshot.ends.get(pair.pair, ("", ""))
    found = _combine([_status_of_step(step, pair.pair, ends, cell.config, snapshot) for step in cell.then], pair.pair)
    if found.word in (INTERRUPTED, FAILED) and pair.pair in snapshot.without_weights:
        return _status_of(cell, snapshot, [run for run in runs if run.info.run_id != pair.pair])
    return found


def _lacks_epochs(config: TrainPairConfig, pair: Run) -> bool:
    """Tell whether a finished pair has not kept an epoch that a cell is to keep."""
    last, tags = int(pair.data.params.get("optimization.epochs", config.optimization.epochs)), pair.data.tags
    wanted = kept_epochs(config.starting, last)  # of steps, the epochs are known when the data are
    return bool(missing_epochs(wanted, tags.get(Tag.KEPT_EPOCHS, ""), tags.get(Tag.LAST_EPOCH, "")))


def status_of_seed_steps(job: Job, pairs: Sequence[str], snapshot: Snapshot) -> Status:
    """Say how far the ensembles of all seeds of a job are.

    Args:
        job: with its steps.
        pairs: the finished pair of each cell, in order.
        snapshot: of the store.
    """
    ends = [snapshot.ends.get(pair, ("", "")) for pair in pairs]
    statuses = []
    for step in job.seed_steps:
        members = [end["AB".index(step.side)] for end in ends]
        statuses.append(_status_of_step(step, "", members, job.cells[0].config, snapshot))
    return _combine(statuses, "")


def _status_of_step(
    step: GridStep, pair: str, members: Sequence[str], like: TrainPairConfig, snapshot: Snapshot
) -> Status:
    return status_of_runs(snapshot.steps.get(identity_of_step(step, pair, members, like), []))


def _combine(statuses: Sequence[Status], pair: str) -> Status:
    """Combine the statuses of the steps of a trained pair: running before failed before unfinished."""
    for word in (RUNNING, FAILED):
        for status in statuses:
            if status.word == word:
                return Status(word, status.why, status.ended, pair)
    return Status(FINISHED if all(status.word == FINISHED for status in statuses) else INTERRUPTED, pair=pair)
