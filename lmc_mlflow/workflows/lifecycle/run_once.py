"""Runs a piece of work once: finds it finished, or opens or resumes its run, and closes that run whole.

A command that makes a run at most once looks like this:

    with run_once(store, Kind.MATRIX, identity, force=config.force) as wanted:
        if wanted.finished is not None:
            return Outcome.of(wanted.finished, FINISHED_BEFORE)
        data = load(...)  # whatever can fail before a run is opened
        run = wanted.open(RunStart(name, tags, to_params(config), ("runs.txt", text)))
        run.log_metrics(measure(data))
    return Outcome.of(store.client.get_run(run.run_id), wanted.how("measured"))

One that makes a new run each time uses `new_run`. One that writes several runs uses `run_session`.
"""

from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.query.runs import Run
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.tracking.launcher_run import point_launcher_at
from lmc_mlflow.tracking.lifecycle import OpenRuns, open_runs, probe_artifacts
from lmc_mlflow.tracking.locks import LockedError, find_locks, hold_locks, remove_lock
from lmc_mlflow.tracking.processes.process import is_alive
from lmc_mlflow.tracking.processes.signals import signals_wait, termination_raises
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.lifecycle.outcome import FINISHED_BEFORE
from lmc_mlflow.workflows.lifecycle.previous_runs import (
    RESUMED_KINDS,
    AtWorkError,
    PreviousRuns,
    end_dead,
    find_previous,
)
from lmc_mlflow.workflows.lifecycle.progress import delete_progress

LOCKED_KINDS = (Kind.PAIR, Kind.STAR, Kind.TRAJECTORY)
"""Kinds that a process locks before it makes one: two that start at the same moment do not both train."""


@dataclass(frozen=True)
class RunStart:
    """What is logged of a run when it is opened.

    Attributes:
        name: what a person would call the run.
        tags: besides its kind and its identity.
        params: `section.field` -> text.
        first_file: path and text of the first artifact, which shows whether artifacts can be written.
    """

    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    first_file: tuple[str, str] | None = None


@contextmanager
def run_once(store: Store, kind: str, identity: Mapping[str, str], force: bool = False) -> Iterator["WantedRun"]:
    """Look a run up and yield it: finished before, or to be opened, and closed as the block ends.

    Where it was finished before, the run that `mlflow run` has started says so.

    Args:
        store: where the run is or goes.
        kind: of the run.
        identity: tags that tell it from all others of its kind.
        force: whether to make it again even if it was finished before.

    Raises:
        AtWorkError: another process is making it now.
    """
    with run_session(store) as session:
        wanted = session.find(kind, identity, force)
        if wanted.finished is not None:
            point_launcher_at(store, wanted.finished.info.run_id, f"this {kind} was {FINISHED_BEFORE}")
        yield wanted


@contextmanager
def new_run(store: Store, kind: str, start: RunStart, parent: TrackedRun | None = None) -> Iterator[TrackedRun]:
    """Open a new run, whatever is in the store, and close it as the block ends."""
    with run_session(store) as session:
        yield session.open(kind, start, parent=parent)


@contextmanager
def run_session(store: Store) -> Iterator["RunSession"]:
    """Yield a session; runs that it has opened and not closed are closed as the block ends, its locks are released."""
    with termination_raises(), hold_locks(store) as lock, open_runs() as runs:
        session = RunSession(store, lock, runs)
        yield session
        session.close_all()


class RunSession:
    """Finds, opens and closes the runs of a command."""

    def __init__(self, store: Store, lock: Callable[[str], None], runs: OpenRuns) -> None:
        self._store = store
        self._lock_key = lock
        self._runs = runs
        self._open: dict[str, TrackedRun] = {}
        self.resumed: set[str] = set()  # ids of runs whose progress is deleted when they are closed

    def find(
        self,
        kind: str,
        identity: Mapping[str, str],
        force: bool = False,
        alone: bool = False,
        apart_from: Container[str] = (),
    ) -> "WantedRun":
        """Look a run up as `run_once` does; a network that is trained `alone` is locked and resumed as pairs are.

        Runs with the ids `apart_from` do not count.

        Raises:
            AtWorkError: another process is making it now.
        """
        is_locked, is_resumed = kind in LOCKED_KINDS or alone, kind in RESUMED_KINDS or alone
        where = (self._store, kind, identity, is_resumed, apart_from)
        previous = find_previous(*where) if is_locked or not force else PreviousRuns()
        if is_locked and (previous.finished is None or force):
            self._lock(kind, identity)
            previous = find_previous(*where)  # it may have been finished meanwhile
        elif is_locked:
            self._sweep(self._key(kind, identity))
        if force:
            previous = PreviousRuns()
        interrupted = previous.interrupted if previous.finished is None else None
        return WantedRun(self, kind, dict(identity), previous.finished, interrupted, is_resumed)

    def open(
        self, kind: str, start: RunStart, interrupted: Run | None = None, parent: TrackedRun | None = None
    ) -> TrackedRun:
        """Open a new run, or reopen an interrupted one, and log how it starts.

        Raises:
            StoreError: artifacts cannot be written.
        """
        if interrupted is None:
            if (kind not in RESUMED_KINDS and kind != Kind.ENDPOINT) or Tag.WEIGHTS_DIGEST in start.tags:
                end_dead(
                    self._store, kind, start.name, start.tags
                )  # of endpoints, adopted ones alone are made by a command of their own
            tags = {**start.tags, Tag.THREADS: str(torch.get_num_threads())}
            run = self._runs.open(self._store, kind, start.name, tags, parent)
        else:
            run = self._runs.reopen(self._store, interrupted)
            if kind != Kind.ENDPOINT:
                point_launcher_at(self._store, run.run_id, f"resumed an interrupted {kind}")
            run.set_tags({Tag.THREADS: _threads_with(interrupted.data.tags.get(Tag.THREADS, ""))})
            if parent is not None:
                run.set_tags({"mlflow.parentRunId": parent.run_id})
        self._open[run.run_id] = run
        if start.first_file is not None:
            path, text = start.first_file
            probe_artifacts(run, text, path)
        run.log_params(start.params)
        return run

    def close(self, *runs: TrackedRun) -> None:
        """Write the manifests of runs, finish these runs together, and delete the progress that they were resumed from.

        A signal comes before all of them are finished, or after.
        """
        for run in runs:
            run.seal()
        with signals_wait():
            for run in runs:
                run.finish()
            for run in runs:
                del self._open[run.run_id]
                if run.run_id in self.resumed:
                    delete_progress(run)

    def leave(self, why: str, *runs: TrackedRun) -> None:
        """End runs as KILLED that are to be resumed later; the progress that is written with them stays."""
        with signals_wait():
            for run in runs:
                run.end("KILLED", why)
                del self._open[run.run_id]

    def close_all(self) -> None:
        """Close all runs that are open."""
        self.close(*self._open.values())

    def _key(self, kind: str, identity: Mapping[str, str]) -> str:
        return "-".join((kind, self._store.experiment_id, *identity.values()))

    def _sweep(self, key: str) -> None:
        """Remove what a process that was killed while it returned the lock of finished work has left."""
        for lock in find_locks(self._store, key):
            if not is_alive(lock.tags):
                remove_lock(self._store, lock)

    def _lock(self, kind: str, identity: Mapping[str, str]) -> None:
        try:
            self._lock_key(self._key(kind, identity))
        except LockedError as taken:
            process = f"process {taken.tags.get(Tag.PID)} on {taken.tags.get(Tag.HOST)}"
            raise AtWorkError(
                f"another process is at work on this configuration now ({process}); wait for it or stop it"
            ) from None


def _threads_with(before: str) -> str:
    """Add the number of this process's CPU threads to those of the processes that worked on the run before."""
    numbers = [*filter(None, before.split(", ")), str(torch.get_num_threads())]
    return ", ".join(dict.fromkeys(numbers))


@dataclass(frozen=True)
class WantedRun:
    """A run that is to be in the store.

    Attributes:
        session: opens it.
        kind: of the run.
        identity: tags that tell it from all others of its kind.
        finished: it, where it was finished before.
        interrupted: otherwise, a run of the same identity that was not finished.
        is_resumed: whether it writes what it can be resumed from, which is deleted when it is finished.
    """

    session: RunSession
    kind: str
    identity: dict[str, str]
    finished: Run | None
    interrupted: Run | None
    is_resumed: bool = False

    def open(self, start: RunStart, parent: TrackedRun | None = None) -> TrackedRun:
        """Open the run, or reopen the interrupted one; its identity is among its tags."""
        start = RunStart(start.name, {**start.tags, **self.identity}, start.params, start.first_file)
        run = self.session.open(self.kind, start, self.interrupted, parent)
        if self.is_resumed:
            self.session.resumed.add(run.run_id)
        return run

    def how(self, verb: str) -> str:
        """Say how the run came about: `finished before`, `resumed`, or what the command does."""
        if self.finished is not None:
            return FINISHED_BEFORE
        return verb if self.interrupted is None else "resumed"
