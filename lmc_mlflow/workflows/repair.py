"""Ends the runs that dead processes have left RUNNING, removes their locks, and deletes endpoints without a pair."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from lmc_mlflow.config.commands import RepairCommandConfig
from lmc_mlflow.contract import KINDS, RUNNING, Kind, Tag, where
from lmc_mlflow.errors import first_line
from lmc_mlflow.query.runs import Run, search
from lmc_mlflow.terminal.closing import next_step
from lmc_mlflow.tracking.connection.client import STORE_FAILURES, WRITE_FAILURES
from lmc_mlflow.tracking.connection.store import Store, open_store
from lmc_mlflow.tracking.launcher_run import name_launcher_run
from lmc_mlflow.tracking.lifecycle import end_orphan
from lmc_mlflow.tracking.locks import no_locks, remove_lock, stale_locks
from lmc_mlflow.tracking.processes.process import is_alive, unreadable_tag
from lmc_mlflow.workflows.dead_launchers import dead_launchers
from lmc_mlflow.workflows.pair.starting.kept_epochs import readable_bytes
from lmc_mlflow.workflows.prune_epochs import KeptStates, find_kept_states, prune_epochs

LAUNCHER = "run of mlflow run"
"""What a run is called that `mlflow run` has started and whose command is gone."""


@dataclass(frozen=True)
class Orphan:
    """A run that says RUNNING and whose process is gone."""

    run_id: str
    name: str
    kind: str
    why: str


@dataclass(frozen=True)
class RepairOutcome:
    """The dead runs, whether they were ended, how many runs are alive, and the endpoints whose pair was deleted.

    Attributes:
        deleted: whether these endpoints were deleted too.
        kept: finished runs with kept states of epochs.
        pruned: whether these states were deleted.
        left: sentences about what cannot be judged, or could not be changed.
    """

    orphans: list[Orphan]
    ended: bool
    num_alive: int
    endpoints: list[Run]
    deleted: bool
    left: list[str]
    kept: list[KeptStates]
    pruned: bool


def repair(config: RepairCommandConfig) -> RepairOutcome:
    """Find runs of ours left RUNNING by processes that are gone, in all experiments, and end them if asked to.

    Runs that `mlflow run` has started and whose command is gone are found too; so are the endpoints of pairs that were
    deleted, and they are deleted if asked to. A run whose process lives is never changed, nor is a run that is not
    ours; one that cannot be judged or changed is named, and the others are repaired. Locks of processes that are gone
    stop no other process; they are removed too.
    """
    store, options = open_store(), config.repair
    running = search(store.client, f"{RUNNING} and tags.`{Tag.KIND}` != ''")
    ours = [run for run in running if run.data.tags[Tag.KIND] in KINDS]
    strange = [(_called(run), unreadable_tag(run.data.tags)) for run in ours if unreadable_tag(run.data.tags)]
    left = [f"{called} says RUNNING, but {why}; delete it if nothing writes it" for called, why in strange]
    left += [f"registered model {name} is no lock" for name in no_locks(store)]
    dead = [run for run in ours if not is_alive(run.data.tags, options.stale_minutes)]
    launchers = dead_launchers(store, options.stale_minutes, [run.info.run_id for run in dead])
    endpoints = orphaned_endpoints(store)
    failed: list[str] = []
    if options.apply:
        steps = [(run.info.run_id, _called(run), partial(end_orphan, store, run, "repair")) for run in dead + launchers]
        steps += [(lock.name, f"lock {lock.name}", partial(remove_lock, store, lock)) for lock in stale_locks(store)]
        failed += _do_each(steps, left)
    if options.orphans:
        failed += _do_each(
            [(run.info.run_id, _called(run), partial(store.client.delete_run, run.info.run_id)) for run in endpoints],
            left,
        )
    kept = find_kept_states(store)
    if options.prune_epochs:
        lost = _do_each([(k.run.info.run_id, _called(k.run), partial(prune_epochs, store, k)) for k in kept], left)
        kept = [one for one in kept if one.run.info.run_id not in lost]
    orphans = [_orphan(run) for run in dead + launchers if run.info.run_id not in failed]
    what = "ended" if options.apply else "found"
    note = "\n".join(f"- {o.kind} `{o.run_id}` {o.name}" for o in orphans)
    name_launcher_run(store, f"repair: {len(orphans)} dead runs {what}", note, {})
    endpoints = [run for run in endpoints if run.info.run_id not in failed]
    num_alive = len(ours) - len(strange) - len(dead)
    found = orphans, options.apply, num_alive, endpoints, options.orphans, left
    return RepairOutcome(*found, kept, options.prune_epochs)


def _called(run: Run) -> str:
    return f"{run.data.tags.get(Tag.KIND, LAUNCHER)} {run.info.run_id} {run.info.run_name}"


def _orphan(run: Run) -> Orphan:
    tags = run.data.tags
    why = "its command is gone, or never came"
    if Tag.KIND in tags:
        why = f"process {tags[Tag.PID]} on {tags[Tag.HOST]}, last heartbeat {tags[Tag.HEARTBEAT]}"
    return Orphan(run.info.run_id, run.info.run_name or "", tags.get(Tag.KIND, LAUNCHER), why)


def _do_each(steps: Sequence[tuple[str, str, Callable[[], object]]], left: list[str]) -> list[str]:
    """Do every step, also where another fails (a server may allow it to the owner alone).

    Args:
        steps: id, what is changed, and the function that changes it.
        left: gets a sentence for each that failed.

    Returns:
        The ids of those that failed.
    """
    failed = []
    for identity, what, do in steps:
        try:
            do()
        except (*WRITE_FAILURES, ValueError) as error:  # a store that refuses, or a damaged manifest
            failed.append(identity)
            left.append(f"{what} could not be changed: {first_line(error)}")
    return failed


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
    lines = [f"{o.kind} {o.run_id} {o.name}: {o.why}" for o in outcome.orphans]
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
    lines += _kept_lines(outcome)
    return lines + [f"left alone: {sentence}" for sentence in outcome.left]


def _kept_lines(outcome: RepairOutcome) -> list[str]:
    holders = [kept for kept in outcome.kept if kept.epochs]
    if not holders:
        return []
    number = sum(len(kept.epochs) for kept in holders)
    size = readable_bytes(sum(kept.num_bytes for kept in holders))
    if outcome.pruned:
        return [f"{number} kept states of epochs deleted, {size}"]
    said = f"{number} kept states of epochs in {len(holders)} runs, {size}"
    return [said, *next_step("delete them all", "repair", prune_epochs="true")]
