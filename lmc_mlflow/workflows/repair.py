"""Ends the runs that dead processes have left RUNNING, removes their locks, and deletes endpoints without a pair."""

from dataclasses import dataclass

from lmc_mlflow.config.commands import RepairCommandConfig
from lmc_mlflow.contract import RUNNING, Kind, Tag, where
from lmc_mlflow.query.runs import Run, search
from lmc_mlflow.terminal.closing import next_step
from lmc_mlflow.tracking.client import STORE_FAILURES
from lmc_mlflow.tracking.lifecycle import end_orphan, name_launcher_run
from lmc_mlflow.tracking.locks import remove_lock, stale_locks
from lmc_mlflow.tracking.process import is_alive
from lmc_mlflow.tracking.store import Store, open_store


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
    """The dead runs, whether they were ended, how many runs are alive, and the endpoints whose pair was deleted.

    Attributes:
        deleted: whether these endpoints were deleted too.
    """

    orphans: list[Orphan]
    ended: bool
    num_alive: int
    endpoints: list[Run]
    deleted: bool


def repair(config: RepairCommandConfig) -> RepairOutcome:
    """Find runs of ours left RUNNING by processes that are gone, in all experiments, and end them if asked to.

    The endpoints of pairs that were deleted are found too, and deleted if asked to.
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
    endpoints = orphaned_endpoints(store)
    for run in endpoints if config.repair.orphans else ():
        store.client.delete_run(run.info.run_id)
    what = "ended" if config.repair.apply else "found"
    note = "\n".join(f"- {o.kind} `{o.run_id}` {o.name}" for o in orphans)
    name_launcher_run(store, f"repair: {len(orphans)} dead runs {what}", note, {})
    counts = config.repair.apply, len(running) - len(dead)
    return RepairOutcome(orphans, *counts, endpoints, config.repair.orphans)


def orphaned_endpoints(store: Store) -> list[Run]:
    """Find the finished or ended endpoints whose pair or trajectory was deleted; others may still use them."""
    active = {run.info.run_id for run in search(store.client, f"tags.`{Tag.KIND}` != '{Kind.ENDPOINT}'")}
    found = []
    deleted: dict[str, bool] = {}
    for run in search(store.client, where(kind=Kind.ENDPOINT)):
        parent = run.data.tags.get("mlflow.parentRunId", "")
        if parent and parent not in active and run.info.status != "RUNNING":
            if parent not in deleted:
                deleted[parent] = _is_deleted(store, parent)
            found += [run] if deleted[parent] else []
    return found


def _is_deleted(store: Store, run_id: str) -> bool:
    """Tell whether a run was deleted; one that was never in this store (a bundle may lack it) was not."""
    try:
        return bool(store.client.get_run(run_id).info.lifecycle_stage == "deleted")
    except STORE_FAILURES:
        return False


def repair_lines(outcome: RepairOutcome) -> list[str]:
    """Return the lines for the runs of dead processes, and for endpoints whose pair was deleted."""
    lines = [
        f"{o.kind} {o.run_id} {o.name}: process {o.pid} on {o.host}, last heartbeat {o.heartbeat}"
        for o in outcome.orphans
    ]
    alive = f"{outcome.num_alive} alive"
    if not lines:
        lines = [f"no run was left RUNNING by a dead process ({alive})"]
    elif outcome.ended:
        lines.append(f"{len(lines)} runs ended as KILLED; {alive} and left alone")
    else:
        lines += [f"{len(lines)} runs dead; {alive} and left alone", *next_step("end them", "repair", apply="true")]
    if outcome.endpoints:
        lines += [f"endpoint {run.info.run_id} {run.info.run_name}: its pair was deleted" for run in outcome.endpoints]
        lines.append(f"{len(outcome.endpoints)} endpoints without a pair{' deleted' if outcome.deleted else ''}")
        lines += [] if outcome.deleted else next_step("delete them", "repair", orphans="true")
    return lines
