"""How is a run opened, resumed, kept alive and ended truthfully?"""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import ParamSpec, Protocol

from mlflow.entities import Run

from lmc_mlflow.contract import LAUNCHER_RUN, Tag
from lmc_mlflow.tracking.process import HEARTBEAT_SECONDS, Terminated, now, process_tags, signals_wait
from lmc_mlflow.tracking.provenance import provenance_tags, source_tags
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.tracking.store import STORE_FAILURES, Store, StoreError, impatient_client
from lmc_mlflow.tracking.view import offer_view

logger = logging.getLogger(__name__)
WRITE_FAILURES = (*STORE_FAILURES, OSError)
P = ParamSpec("P")


class Keep(Protocol):
    """What `ending` yields: `keep(open_run, ...)` opens a run and takes it into care, both or neither."""

    def __call__(self, opening: Callable[P, TrackedRun], *args: P.args, **kwargs: P.kwargs) -> TrackedRun:
        """Open a run and take it into care."""


def open_run(
    store: Store, kind: str, name: str, tags: Mapping[str, str], parent: TrackedRun | None = None
) -> TrackedRun:
    """Start a run of a kind; a top-level run adopts the one that `mlflow run` has started, if it has.

    Called through what `ending` yields: `keep(open_run, store, ...)`.
    """
    everything = {Tag.KIND: kind, **tags, **process_tags(), **provenance_tags(), "mlflow.runName": name}
    if parent is None:
        offer_view(store, store.experiment_id)
    adopted = take_launcher_run() if parent is None else None
    if adopted is not None:
        for key, value in everything.items():
            store.client.set_tag(adopted, key, value)
        return TrackedRun(store.client, adopted, store.client.get_run(adopted).info.experiment_id)
    if parent is not None:
        everything["mlflow.parentRunId"] = parent.run_id
    everything |= source_tags()
    experiment_id = parent.experiment_id if parent else store.experiment_id
    run = store.client.create_run(experiment_id, tags=everything, run_name=name)
    return TrackedRun(store.client, run.info.run_id, experiment_id)


def reopen_run(store: Store, run: Run) -> TrackedRun:
    """Continue an interrupted run under its own id."""
    store.client.update_run(run.info.run_id, status="RUNNING")
    for key, value in {Tag.TASK: "", **process_tags(), **provenance_tags(), Tag.ERROR: ""}.items():
        store.client.set_tag(run.info.run_id, key, value)
    return TrackedRun(store.client, run.info.run_id, run.info.experiment_id)


def take_launcher_run() -> str | None:
    """The id of the run that `mlflow run` has started for this process, handed out once."""
    return os.environ.pop(LAUNCHER_RUN, None) or None


def point_launcher_at(store: Store, run_id: str, why: str) -> None:
    """Where `mlflow run` has started a run that is not needed, let it say which run to look at instead."""
    name_launcher_run(store, f"see {run_id[:8]}", f"{why}: run {run_id}", {Tag.SEE: run_id})


def name_launcher_run(store: Store, name: str, note: str, tags: Mapping[str, str]) -> None:
    """Let the run that `mlflow run` has started, if it has, say what became of it."""
    launcher = take_launcher_run()
    if launcher is not None:
        for key, value in {"mlflow.runName": name, "mlflow.note.content": note, **tags}.items():
            store.client.set_tag(launcher, key, value)


@contextmanager
def ending() -> Iterator[Keep]:
    """Yields a function that opens runs into its care: their heartbeat is kept, and they end as the block ends.

    Runs that the block has ended itself (`TrackedRun.finish`) are left as they are. An error ends the
    others FAILED with its first line as tag `lmc.error`, a signal ends them KILLED.
    """
    runs: list[TrackedRun] = []

    def keep(opening: Callable[P, TrackedRun], *args: P.args, **kwargs: P.kwargs) -> TrackedRun:
        with signals_wait():
            run = opening(*args, **kwargs)
            runs.append(run)
        return run

    stop = threading.Event()
    pulse = threading.Thread(target=_beat, args=(runs, stop), daemon=True)
    pulse.start()
    try:
        yield keep
    except (KeyboardInterrupt, Terminated) as signal:
        _end(runs, "KILLED", f"stopped by {str(signal) or 'Ctrl-C'}")
        raise
    except BaseException as error:
        _end(runs, "FAILED", next(iter(str(error).strip().splitlines()), type(error).__name__))
        raise
    else:
        for run in runs:
            run.finish()
    finally:
        stop.set()
        pulse.join()


def _end(runs: list[TrackedRun], status: str, why: str) -> None:
    with impatient_client():
        for run in runs:
            try:
                run.end(status, why)
            except WRITE_FAILURES as error:
                logger.warning(
                    "run %s could not be ended as %s (%s): use the repair command later", run.run_id, status, error
                )


def _beat(runs: list[TrackedRun], stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        for run in list(runs):
            try:
                run.client.set_tag(run.run_id, Tag.HEARTBEAT, now())
            except WRITE_FAILURES as error:
                logger.warning("no heartbeat for run %s: %s", run.run_id, error)


def end_orphan(store: Store, run: Run, by: str) -> None:
    """End a run whose process is gone: KILLED, with a tag that says who said so."""
    store.client.set_tag(run.info.run_id, Tag.ERROR, f"its process was gone; ended by {by}")
    store.client.set_terminated(run.info.run_id, status="KILLED")


def probe_artifacts(run: TrackedRun, text: str, path: str) -> None:
    """Write the run's first artifact impatiently, so that an artifact store that is out of reach shows at once.

    Raises:
        StoreError: it cannot be written.
    """
    with impatient_client():
        try:
            run.log_text(text, path)
        except WRITE_FAILURES as error:
            reason = str(error).strip().splitlines()[0]
            raise StoreError(
                f"artifacts of run {run.run_id} cannot be written ({reason}); check the server's artifact location"
            ) from None
