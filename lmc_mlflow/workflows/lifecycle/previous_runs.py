"""Finds an earlier run with the same identity: finished, interrupted, or in progress in another process."""

import logging
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from lmc_mlflow.contract import RUNNING, Kind, Tag, where_tags
from lmc_mlflow.errors import first_line
from lmc_mlflow.query.runs import Run, search
from lmc_mlflow.tracking.connection.client import WRITE_FAILURES
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.tracking.lifecycle import end_orphan
from lmc_mlflow.tracking.processes.process import is_alive

logger = logging.getLogger(__name__)
RESUMED_KINDS = (
    *(Kind.PAIR, Kind.STAR, Kind.TRAJECTORY, Kind.MATRIX, Kind.PLANE),
    *(Kind.CURVATURE, Kind.PATH_BY_LAYER),
)
"""Kinds whose interrupted runs are continued, from the progress that is written with them."""


@dataclass(frozen=True)
class PreviousRuns:
    """What there is of an identity: the newest finished run, one that is at work, and the newest interrupted one."""

    finished: Run | None = None
    at_work: Run | None = None
    interrupted: Run | None = None


class AtWorkError(ValueError):
    """Another process that lives is at work on the same configuration."""


def sort_runs(runs: Sequence[Run]) -> PreviousRuns:
    """Tell finished runs of one identity (oldest first) from those at work and those that were interrupted."""
    finished = [run for run in runs if run.info.status == "FINISHED"]
    others = [run for run in runs if run.info.status != "FINISHED"]
    at_work = [run for run in others if run.info.status == "RUNNING" and is_alive(run.data.tags)]
    return PreviousRuns(
        finished[-1] if finished else None, at_work[-1] if at_work else None, others[-1] if others else None
    )


def find_previous(
    store: Store,
    kind: str,
    identity: Mapping[str, str],
    is_resumed: bool | None = None,
    apart_from: Container[str] = (),
) -> PreviousRuns:
    """Look in the store's experiment for runs with the same identity.

    Args:
        store: where to look.
        kind: of the run.
        identity: tags that tell the run from all others of its kind.
        is_resumed: whether runs that are not finished count; None: as for `RESUMED_KINDS`.
        apart_from: ids of runs that do not count.

    Raises:
        AtWorkError: another process is writing such a run now.
    """
    runs = search(store.client, where_tags({Tag.KIND: kind, **identity}), store.searched)
    found = sort_runs([run for run in runs if run.info.run_id not in apart_from])
    if not (kind in RESUMED_KINDS if is_resumed is None else is_resumed):
        return PreviousRuns(found.finished)
    if found.at_work is not None:
        tags = found.at_work.data.tags
        raise AtWorkError(
            f"run {found.at_work.info.run_id} is at work on this configuration now (process {tags.get(Tag.PID)} "
            f"on {tags.get(Tag.HOST)}); wait for it or stop it"
        )
    return found


def end_dead(store: Store, kind: str, name: str, tags: Mapping[str, str]) -> None:
    """End the runs that killed processes have begun by the same command, where this process is allowed to.

    They are of this kind, name and tags, say RUNNING, and their processes are gone. For the kinds whose runs are not
    resumed, the next run of the same command is another one.
    """
    identity = {key: tags[key] for key in (Tag.FINGERPRINT,) if key in tags}
    found = search(store.client, f"{RUNNING} and {where_tags({Tag.KIND: kind, **identity})}", store.searched)
    alike = [run for run in found if run.info.run_name == name and tags.items() <= run.data.tags.items()]
    for run in [run for run in alike if not is_alive(run.data.tags)]:
        try:
            end_orphan(store, run, f"the next {kind} of the same command")
        except WRITE_FAILURES as error:
            logger.warning("run %s is dead and could not be ended (%s)", run.info.run_id, first_line(error))
