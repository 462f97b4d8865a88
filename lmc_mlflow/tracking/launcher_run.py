"""Reads and writes the run that `mlflow run` has started for this process."""

import logging
import os
from collections.abc import Mapping

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from lmc_mlflow.contract import LAUNCHER_RUN, Tag
from lmc_mlflow.errors import first_line, without_secrets
from lmc_mlflow.tracking.connection.address import address
from lmc_mlflow.tracking.connection.store import Store

logger = logging.getLogger(__name__)
ENTRY_POINT_TAG = "mlflow.project.entryPoint"
"""Tag of a run that `mlflow run` has started."""
PARENT_TAG = "mlflow.parentRunId"
SOURCE_TAG = "mlflow.source.name"
"""Tag that says where its project is."""
LAUNCHER_TAGS = (SOURCE_TAG, "mlflow.source.type", "mlflow.project.", "mlflow.gitRepo", PARENT_TAG)
"""Beginnings of the names of its tags that the run of the command takes over."""


def _take() -> str | None:
    """Give the id of the run that `mlflow run` has started for this process, the first time that it is asked for."""
    return os.environ.pop(LAUNCHER_RUN, None) or None


def launcher_run(store: Store) -> Run | None:
    """Read the run that `mlflow run` has started for this process, if it has and nobody has asked for it yet.

    A variable that was left in the environment may name a run that has ended, or a result: it is never written to.
    """
    run_id = os.environ.get(LAUNCHER_RUN)
    if not run_id or address().from_python:
        return None
    try:
        run = store.client.get_run(run_id)
    except MlflowException as error:
        problem = f"cannot be read ({first_line(error)})"
    else:
        problem = _why_no_launcher(run)
        if not problem:
            return run
    _take()
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
        _take()
        for key, value in {"mlflow.runName": name, "mlflow.note.content": note, **tags}.items():
            store.client.set_tag(launcher.info.run_id, key, value)


def launcher_tags(store: Store) -> dict[str, str]:
    """Read what `mlflow run`, if it has started this process, has noted of the project and its source."""
    launcher = launcher_run(store)
    tags = launcher.data.tags if launcher is not None else {}
    return {name: without_secrets(value) for name, value in tags.items() if name.startswith(LAUNCHER_TAGS)}
