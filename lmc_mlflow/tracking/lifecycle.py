"""Opens, reopens and ends runs, and keeps their heartbeats."""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.errors import first_line
from lmc_mlflow.tracking.connection.client import (
    STORE_FAILURES,
    WRITE_FAILURES,
    impatient_client,
    passing_failure,
    without_waiting,
)
from lmc_mlflow.tracking.connection.probe import FORBIDDEN, http_status
from lmc_mlflow.tracking.connection.store import Store, StoreError
from lmc_mlflow.tracking.launcher_run import PARENT_TAG, launcher_tags, point_launcher_at
from lmc_mlflow.tracking.processes.process import HEARTBEAT_SECONDS, now, process_tags
from lmc_mlflow.tracking.processes.signals import STOPS, signals_raise, signals_wait, was_stopped
from lmc_mlflow.tracking.provenance import provenance_tags, source_tags
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.tracking.view import offer_view

logger = logging.getLogger(__name__)
JOIN_SECONDS = 5.0


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
    stands_for_command = parent is None and kind != Kind.ENDPOINT  # the epochs that pairs share are a part of one
    if parent is not None:
        everything[PARENT_TAG] = parent.run_id
        experiment_id = parent.experiment_id
    else:
        offer_view(store, store.experiment_id)
        everything |= launcher_tags(store) if stands_for_command else {}
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
    if stands_for_command:
        point_launcher_at(store, run.info.run_id, f"`mlflow run` started this {kind}")
    return TrackedRun(store.client, run.info.run_id, experiment_id)


def _interrupted_run(store: Store, run: Run) -> TrackedRun:
    store.client.update_run(run.info.run_id, status="RUNNING")
    cleared = dict.fromkeys([Tag.ERROR, *([Tag.STOPPED] if Tag.STOPPED in run.data.tags else [])], "")
    for key, value in {Tag.TASK: "", **process_tags(), **provenance_tags(), **cleared}.items():
        store.client.set_tag(run.info.run_id, key, value)
    return TrackedRun(store.client, run.info.run_id, run.info.experiment_id)
