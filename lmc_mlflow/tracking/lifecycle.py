"""Opens, reopens and ends runs, and keeps their heartbeats."""

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from lmc_mlflow.contract import LAUNCHER_RUN, Tag
from lmc_mlflow.errors import first_line, without_secrets
from lmc_mlflow.tracking.client import (
    STORE_FAILURES,
    WRITE_FAILURES,
    impatient_client,
    passing_failure,
    without_waiting,
)
from lmc_mlflow.tracking.probe import FORBIDDEN, http_status
from lmc_mlflow.tracking.process import HEARTBEAT_SECONDS, now, process_tags
from lmc_mlflow.tracking.provenance import provenance_tags, source_tags
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.tracking.signals import STOPS, signals_raise, signals_wait, was_stopped
from lmc_mlflow.tracking.store import Store, StoreError
from lmc_mlflow.tracking.view import offer_view

logger = logging.getLogger(__name__)
ENTRY_POINT_TAG = "mlflow.project.entryPoint"
"""Tag of a run that `mlflow run` has started."""
PARENT_TAG = "mlflow.parentRunId"
JOIN_SECONDS = 5.0
SOURCE_TAG = "mlflow.source.name"
"""Tag that says where its project is."""
LAUNCHER_TAGS = (SOURCE_TAG, "mlflow.source.type", "mlflow.project.", "mlflow.gitRepo", PARENT_TAG)
"""Beginnings of the names of its tags that the run of the command takes over."""


class OpenRuns:
    """The runs that this process writes; `open_runs` sends their heartbeats and ends them."""

    def __init__(self) -> None:
        self.runs: list[TrackedRun] = []

    def open(
        self, store: Store, kind: str, name: str, tags: Mapping[str, str], parent: TrackedRun | None = None
    ) -> TrackedRun:
        """Start a run of a kind; a run without a parent stands for the one that `mlflow run` has started, if it has."""
        with signals_wait():  # between opening and remembering no signal comes in
            run = _new_run(store, kind, name, tags, parent)
            self.runs.append(run)
        return run

    def reopen(self, store: Store, run: Run) -> TrackedRun:
        """Continue an interrupted run under its own id."""
        with signals_wait():
            reopened = _interrupted_run(store, run)
            self.runs.append(reopened)
        return reopened


@contextmanager
def open_runs() -> Iterator[OpenRuns]:
    """Yield an object that opens runs; while the block lasts it sends their heartbeats, and they end as the block ends.

    Runs that the block has ended itself (`TrackedRun.finish`) stay as they are. An error ends the
    others FAILED with its first line as tag `lmc.error`, a signal ends them KILLED.
    """
    opened = OpenRuns()
    runs = opened.runs
    stop = threading.Event()
    with signals_wait():
        pulse = threading.Thread(target=_beat, args=(runs, stop), daemon=True)
        pulse.start()
        try:
            with signals_raise():
                yield opened
        except STOPS as signal:
            _end(runs, "KILLED", f"stopped by {str(signal) or 'Ctrl-C'}")
            raise
        except BaseException as error:
            gone = _deleted(runs) if isinstance(error, STORE_FAILURES) else ""
            _end(runs, "KILLED" if gone or was_stopped() else "FAILED", gone or first_line(error))
            if gone:
                raise StoreError(gone) from None
            raise
        else:
            for run in runs:
                run.finish()
        finally:
            stop.set()
            pulse.join(JOIN_SECONDS)


def take_launcher_run() -> str | None:
    """Give the id of the run that `mlflow run` has started for this process, the first time that it is asked for."""
    return os.environ.pop(LAUNCHER_RUN, None) or None


def launcher_run(store: Store) -> Run | None:
    """Read the run that `mlflow run` has started for this process, if it has and nobody has asked for it yet.

    A variable that was left in the environment may name a run that has ended, or a result: it is never written to.
    """
    run_id = os.environ.get(LAUNCHER_RUN)
    if not run_id:
        return None
    try:
        run = store.client.get_run(run_id)
    except MlflowException as error:
        problem = f"cannot be read ({first_line(error)})"
    else:
        problem = _why_no_launcher(run)
        if not problem:
            return run
    take_launcher_run()
    logger.warning("%s=%s: this run %s; it is left alone, unset the variable", LAUNCHER_RUN, run_id, problem)
    return None


def _why_no_launcher(run: Run) -> str:
    """Say why a run is none that `mlflow run` has just started; empty: it may be one."""
    if Tag.KIND in run.data.tags:
        return f"is a result, of kind {run.data.tags[Tag.KIND]}"
    if run.info.lifecycle_stage != "active":
        return "is deleted"
    return "" if run.info.status == "RUNNING" else "is over"


def point_launcher_at(store: Store, run_id: str, why: str) -> None:
    """Write to the run that `mlflow run` has started, if it has, which run to look at instead, and nest it under that.

    It holds nothing but the flags as they were typed. It cannot be deleted here: `mlflow run` ends it later.
    """
    launcher = launcher_run(store)
    if launcher is not None:
        tags = launcher.data.tags
        nested = {PARENT_TAG: run_id} if ENTRY_POINT_TAG in tags and PARENT_TAG not in tags else {}
        name_launcher_run(store, f"see {run_id[:8]}", f"{why}: run {run_id}", {Tag.SEE: run_id, **nested})


def name_launcher_run(store: Store, name: str, note: str, tags: Mapping[str, str]) -> None:
    """Name and describe the run that `mlflow run` has started, if it has: it says what the command did."""
    launcher = launcher_run(store)
    if launcher is not None:
        take_launcher_run()
        for key, value in {"mlflow.runName": name, "mlflow.note.content": note, **tags}.items():
            store.client.set_tag(launcher.info.run_id, key, value)


def _end(runs: list[TrackedRun], status: str, why: str) -> None:
    """End runs, whatever becomes of each; a store that does not answer is asked once, and not once for each run."""
    left: list[str] = []
    reason, is_away = "", False
    with impatient_client():
        for run in (run for run in runs if not run.has_ended):
            if not is_away:
                try:
                    run.end(status, why)
                    continue
                except (*WRITE_FAILURES, *STOPS) as error:
                    reason = first_line(error)
                    is_away = isinstance(error, STOPS) or bool(passing_failure(error, run.client.tracking_uri))
            left.append(run.run_id)
    if left:
        logger.warning(
            "runs that could not be ended as %s (%s), give the same command again or `repair`: %s",
            status,
            reason,
            " ".join(left),
        )


def _deleted(runs: list[TrackedRun]) -> str:
    """Say which of the runs were deleted while they were written; an empty text: none."""
    try:
        with impatient_client():
            found = [run.run_id for run in runs if not run.has_ended and run.is_deleted()]
    except WRITE_FAILURES:
        return ""
    if not found:
        return ""
    return f"run {' and '.join(found)} was deleted while it was written; give the same command to begin anew"


def _beat(runs: list[TrackedRun], stop: threading.Event) -> None:
    is_told = False
    while not stop.wait(HEARTBEAT_SECONDS):
        for run in list(runs):
            try:
                with without_waiting():
                    run.client.set_tag(run.run_id, Tag.HEARTBEAT, now())
                is_told = False
            except WRITE_FAILURES as error:
                if not is_told and not run.has_ended:
                    logger.warning("no heartbeat for run %s: %s", run.run_id, first_line(error))
                is_told = True


def end_orphan(store: Store, run: Run, by: str) -> None:
    """End a run whose process is gone as KILLED; a tag says who found it."""
    store.client.set_tag(run.info.run_id, Tag.ERROR, f"its process was gone; ended by {by}")
    store.client.set_terminated(run.info.run_id, status="KILLED")


def probe_artifacts(run: TrackedRun, text: str, path: str) -> None:
    """Write the first artifact of a run without long retries: an artifact store that is out of reach fails at once.

    Raises:
        StoreError: the artifact cannot be written.
    """
    with impatient_client():
        try:
            run.log_text(text, path)
        except WRITE_FAILURES as error:
            reason = first_line(error)
            raise StoreError(
                f"artifacts of run {run.run_id} cannot be written ({reason}); check the server's artifact location"
            ) from None


def _new_run(
    store: Store, kind: str, name: str, tags: Mapping[str, str], parent: TrackedRun | None = None
) -> TrackedRun:
    everything = {Tag.KIND: kind, **tags, **process_tags(), **provenance_tags(), **source_tags()}
    if parent is not None:
        everything[PARENT_TAG] = parent.run_id
        experiment_id = parent.experiment_id
    else:
        offer_view(store, store.experiment_id)
        everything |= _launcher_tags(store)
        experiment_id = store.experiment_id
    try:
        run = store.client.create_run(experiment_id, tags=everything | {"mlflow.runName": name}, run_name=name)
    except MlflowException as error:
        if http_status(error) != FORBIDDEN:
            raise
        raise StoreError(
            f"the server does not allow you to write runs to experiment {experiment_id}; "
            "choose one of your own with MLFLOW_EXPERIMENT_NAME (`mlflow run --experiment-name`)"
        ) from None
    if parent is None:
        point_launcher_at(store, run.info.run_id, f"`mlflow run` started this {kind}")
    return TrackedRun(store.client, run.info.run_id, experiment_id)


def _launcher_tags(store: Store) -> dict[str, str]:
    """Read what `mlflow run`, if it has started this process, has noted of the project and its source."""
    launcher = launcher_run(store)
    tags = launcher.data.tags if launcher is not None else {}
    return {name: without_secrets(value) for name, value in tags.items() if name.startswith(LAUNCHER_TAGS)}


def _interrupted_run(store: Store, run: Run) -> TrackedRun:
    store.client.update_run(run.info.run_id, status="RUNNING")
    for key, value in {Tag.TASK: "", **process_tags(), **provenance_tags(), Tag.ERROR: ""}.items():
        store.client.set_tag(run.info.run_id, key, value)
    return TrackedRun(store.client, run.info.run_id, run.info.experiment_id)
