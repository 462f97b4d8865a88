"""Ends the runs that processes which are gone have left RUNNING, and removes their locks."""

from dataclasses import dataclass

from lmc_mlflow.config.commands import RepairCommandConfig
from lmc_mlflow.contract import RUNNING, Tag
from lmc_mlflow.query.runs import search
from lmc_mlflow.tracking.lifecycle import end_orphan, name_launcher_run
from lmc_mlflow.tracking.locks import remove_lock, stale_locks
from lmc_mlflow.tracking.process import is_alive
from lmc_mlflow.tracking.store import open_store


@dataclass(frozen=True)
class Orphan:
    """A run that says RUNNING and whose process is gone."""

    run_id: str
    name: str
    kind: str
    host: str
    pid: str
    heartbeat: str


@dataclass(frozen=True)
class RepairOutcome:
    """The orphans, whether they were ended, and how many runs are alive."""

    orphans: list[Orphan]
    ended: bool
    num_alive: int


def repair(config: RepairCommandConfig) -> RepairOutcome:
    """Find runs of ours left RUNNING by processes that are gone, in all experiments, and end them if asked to.

    A run whose process lives is never changed, nor is a run that is not ours. Locks of processes that are gone
    stop no other process; they are removed too.
    """
    store = open_store()
    running = search(store.client, f"{RUNNING} and tags.`{Tag.KIND}` != ''")
    dead = [run for run in running if not is_alive(run.data.tags, config.repair.stale_minutes)]
    if config.repair.apply:
        for run in dead:
            end_orphan(store, run, "repair")
        for lock in stale_locks(store):
            remove_lock(store, lock)
    orphans = [
        Orphan(
            run.info.run_id,
            run.info.run_name or "",
            run.data.tags[Tag.KIND],
            run.data.tags[Tag.HOST],
            run.data.tags[Tag.PID],
            run.data.tags[Tag.HEARTBEAT],
        )
        for run in dead
    ]
    what = "ended" if config.repair.apply else "found"
    note = "\n".join(f"- {o.kind} `{o.run_id}` {o.name}" for o in orphans)
    name_launcher_run(store, f"repair: {len(orphans)} dead runs {what}", note, {})
    return RepairOutcome(orphans, config.repair.apply, len(running) - len(dead))
