"""Compares a run of a bundle with the store's run of the same id, and decides what the import does."""

from enum import Enum

from lmc_mlflow.bundles.records import LEFT_OUT, RunRecord
from lmc_mlflow.contract import PREFIX, Kind, Tag

CHANGING_TAGS = (Tag.HEARTBEAT, Tag.PUBLISHED, LEFT_OUT)
"""Tags of ours that may differ between copies of one run."""
STATUS_KINDS = (Kind.SWEEP,)
"""Kinds of runs that tell the status of other runs and are no result; two stores may both change one."""
UNSHARED = "each has what the other lacks"


class Resolution(Enum):
    """What the import does with a run of a bundle; the values are printed.

    NEW: it is added. SAME: only artifacts that the store lacks are added. BEHIND: the store's run is completed from
    the bundle. AHEAD: the store's run is further, and is kept. DIVERGED: both stores changed the run, which tells
    the status of other runs; ours is kept. DELETED: the run was deleted here, and stays deleted.
    """

    NEW = "new"
    SAME = "there already"
    BEHIND = "completed"
    AHEAD = "further here than in the bundle, left alone"
    DIVERGED = "changed in both stores, ours kept"
    DELETED = "deleted here, left so"


def tells_status(record: RunRecord) -> bool:
    """Return whether a run tells the status of other runs and is no result itself."""
    return record.tags.get(Tag.KIND) in STATUS_KINDS


def resolve(theirs: RunRecord, ours: RunRecord | None, is_deleted: bool) -> Resolution:
    """Compare a run of a bundle with the store's run of the same id.

    A run only grows: params and points are added, never changed, until it is finished. So one of two
    copies of a run contains the other; where neither does, they are not copies of one run. Notes, names
    and other tags that are not ours may differ: the store's stay.

    Raises:
        ValueError: same id, different content; names the run and what differs.
    """
    if ours is None:
        return Resolution.NEW
    if is_deleted:
        return Resolution.DELETED
    differing = _difference(theirs, ours) if theirs.is_finished and ours.is_finished else _unshared(theirs, ours)
    if differing and tells_status(theirs):
        return Resolution.DIVERGED
    if differing:
        raise ValueError(
            f"run {theirs.run_id} ({theirs.name}) is in the store with different content ({differing}); nothing of "
            "this bundle was imported: import it into another store, or delete the run here, and the import skips it"
        )
    if theirs.status == ours.status and _contains(ours, theirs) and _contains(theirs, ours):
        return Resolution.SAME
    return Resolution.BEHIND if _progress(theirs) > _progress(ours) or not _contains(ours, theirs) else Resolution.AHEAD


def _progress(record: RunRecord) -> int:
    """Rank how far a run has come by its status."""
    return 2 if record.is_finished else int(record.status not in ("RUNNING", "SCHEDULED"))


def _unshared(theirs: RunRecord, ours: RunRecord) -> str:
    """Say what is wrong with two copies of which one at least is unfinished; empty if one contains the other."""
    if theirs.is_finished != ours.is_finished:
        further, behind = (theirs, ours) if theirs.is_finished else (ours, theirs)
        return "" if _contains(further, behind) else UNSHARED
    return "" if _contains(theirs, ours) or _contains(ours, theirs) else UNSHARED


def _difference(a: RunRecord, b: RunRecord) -> str:
    """Name the first param, metric, or tag of ours in both, that differs between finished copies; empty if none."""
    tags = [key for key in a.tags.keys() & b.tags.keys() if key.startswith(PREFIX) and key not in CHANGING_TAGS]
    tables = {
        "param": (a.params, b.params, a.params.keys() | b.params.keys()),
        "metric": (a.metrics, b.metrics, a.metrics.keys() | b.metrics.keys()),
        "tag": (a.tags, b.tags, tags),
    }
    for what, (of_a, of_b, keys) in tables.items():
        for key in sorted(keys):
            if of_a.get(key) != of_b.get(key):
                return f"{what} {key}"
    return ""


def _contains(further: RunRecord, behind: RunRecord) -> bool:
    """Return whether one copy of a run has everything that the other has."""
    params = behind.params.items() <= further.params.items()
    return params and all(set(points) <= set(further.metrics.get(key, ())) for key, points in behind.metrics.items())
