"""Removes a run with what hangs on it, or only lists them."""

from dataclasses import dataclass

from lmc_mlflow.config.store_commands import RemoveCommandConfig
from lmc_mlflow.contract import Tag
from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.query.runs import Run, resolve_run, search
from lmc_mlflow.terminal.closing import next_step
from lmc_mlflow.terminal.style import table
from lmc_mlflow.tracking.connection.store import open_store
from lmc_mlflow.tracking.descriptions import HEADING, NOTE, unlist_on
from lmc_mlflow.tracking.launcher_run import name_launcher_run
from lmc_mlflow.tracking.processes.process import is_alive
from lmc_mlflow.workflows.dependents import hang_on


@dataclass(frozen=True)
class RemoveOutcome:
    """The run that was named, and all runs with it, what was computed last first; whether they were removed."""

    run_id: str
    runs: list[Run]
    removed: bool


def remove(config: RemoveCommandConfig) -> RemoveOutcome:
    """List a run with what hangs on it, and delete them if asked to; MLflow can restore what is deleted.

    Raises:
        ValueError: no such run, or a process that lives writes one of them.
        StoreError: the tracking store cannot be used.
    """
    store = open_store()
    run_id = resolve_run(store.client, config.removal.run).info.run_id
    everything = {run.info.run_id: run for run in search(store.client, "")}
    if run_id not in everything:
        raise ValueError(f"run {run_id} is deleted already")
    runs = hang_on(store, run_id, everything)
    for run in runs:
        if run.info.status == "RUNNING" and is_alive(run.data.tags):
            raise ValueError(f"run {run.info.run_id} is at work; wait for it or stop it")
    if config.removal.apply:
        gone = [run.info.run_id for run in runs]
        for other in gone:
            store.client.delete_run(other)
        for run in everything.values():
            if run.info.run_id not in gone and HEADING in run.data.tags.get(NOTE, ""):
                unlist_on(store.client, run, gone)
    what = "deleted" if config.removal.apply else "listed"
    name_launcher_run(store, f"remove: {len(runs)} runs {what}", f"run {run_id} and what hangs on it", {})
    return RemoveOutcome(run_id, runs, config.removal.apply)


def remove_lines(outcome: RemoveOutcome) -> list[str]:
    """Return the lines for a run and what hangs on it."""
    rows = [[run.data.tags.get(Tag.KIND, ""), run.info.run_name or "", run.info.run_id] for run in outcome.runs]
    done = "deleted" if outcome.removed else "to delete"
    lines = [f"run {outcome.run_id}: {counted(len(rows), 'run')} {done}", *table(["kind", "name", "run"], rows)]
    if outcome.removed:
        return [*lines, "  MLflow keeps them in the state deleted: `mlflow runs restore --run-id` brings one back"]
    return [*lines, *next_step("delete them", "remove", run=outcome.run_id, apply="true")]
