"""Finds the runs that `mlflow run` has started for this project and left RUNNING."""

import re
import time
from collections.abc import Collection
from pathlib import Path
from urllib.parse import unquote, urlparse

from lmc_mlflow.config.commands import COMMANDS
from lmc_mlflow.contract import LAUNCHER_RUN, RUNNING, Tag
from lmc_mlflow.query.runs import Run, search
from lmc_mlflow.tracking.connection.client import STORE_FAILURES
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.tracking.launcher_run import ENTRY_POINT_TAG, SOURCE_TAG
from lmc_mlflow.tracking.processes.process import has_process
from lmc_mlflow.tracking.provenance import PROJECT_ROOT

PROJECT = "lmc_mlflow"
"""Name of the project in its MLproject."""


def dead_launchers(store: Store, stale_minutes: float, dead: Collection[str]) -> list[Run]:
    """Find runs of `mlflow run` that no process works for, oldest first.

    Such a run has no heartbeat. It counts as dead if it is older than `stale_minutes`, no process of this machine was
    started for it, and the run that it points to, if it does, is not RUNNING. Until a command has opened its own run
    there is nothing to point to: if no environment could be made for it, there never is.

    Args:
        store: where to look.
        stale_minutes: the age from which on such a run can count as dead.
        dead: run ids that say RUNNING, but whose processes are gone.
    """
    found = search(store.client, f"{RUNNING} and tags.`{ENTRY_POINT_TAG}` != ''")
    before = 1000 * (time.time() - 60 * stale_minutes)
    ours = [run for run in found if Tag.KIND not in run.data.tags and _is_of_this_project(run)]
    return [
        run
        for run in ours
        if run.info.start_time < before
        and (run.data.tags.get(Tag.SEE, "") in dead or not _is_at_work(store, run.data.tags.get(Tag.SEE, "")))
        and not has_process(LAUNCHER_RUN, run.info.run_id)
    ]


def _is_of_this_project(run: Run) -> bool:
    """Tell by its entry point and its source: this folder, another copy of the project, or a repository of its name."""
    tags = run.data.tags
    if tags.get(ENTRY_POINT_TAG) not in COMMANDS:
        return False
    source = urlparse(tags.get(SOURCE_TAG, "").partition("#")[0])
    folder = Path(unquote(source.path))
    if source.scheme in ("", "file") and (folder / "MLproject").is_file():
        return bool(re.search(rf"^name: *{PROJECT}$", (folder / "MLproject").read_text(errors="replace"), re.MULTILINE))
    return folder.name.removesuffix(".git") in (PROJECT, PROJECT_ROOT.name)


def _is_at_work(store: Store, run_id: str) -> bool:
    try:
        return bool(run_id) and store.client.get_run(run_id).info.status == "RUNNING"
    except STORE_FAILURES:  # deleted for good
        return False
