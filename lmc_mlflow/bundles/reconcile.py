"""What happens to a run that is imported, where the store may know it already?"""

from enum import Enum

from lmc_mlflow.bundles.records import LEFT_OUT, RunRecord
from lmc_mlflow.contract import PREFIX, Tag

PASSING = (Tag.HEARTBEAT, LEFT_OUT)
"""Tags of ours that do not say what a run is."""
DIARIES = ("sweep",)
UNSHARED = "each has what the other lacks"


class Fate(Enum):
    """New: added. Same: only artifacts that the store lacks are added. Behind: the store's run is brought up to
    the bundle's. Ahead: the store's run has gone on since, and stays. Apart: a diary went on in both stores, and
    the store's stays. Deleted: somebody deleted it here, and it stays so.
    """

    NEW = "new"
    SAME = "there already"
    BEHIND = "completed"
    AHEAD = "further here than in the bundle, left alone"
    APART = "went on here in another way, left alone"
    DELETED = "deleted here, left so"


def is_diary(record: RunRecord) -> bool:
    """Whether a run tells of other runs' state and is no result itself: two stores may go on with one of them."""
    return record.tags.get(Tag.KIND) in DIARIES


def fate_of(theirs: RunRecord, ours: RunRecord | None, is_deleted: bool) -> Fate:
    """Compare a run of a bundle with the store's run of the same id.

    A run only ever grows: params and points are added, never changed, until it is finished. So one of
    two copies of a run holds the other; where neither does, they are not copies of one run. Notes,
    names and other tags that are not ours may differ: the store's stay.

    Raises:
        ValueError: same id, different content; names the run and what differs.
    """
    if ours is None:
        return Fate.NEW
    if is_deleted:
        return Fate.DELETED
    differing = _difference(theirs, ours) if theirs.is_finished and ours.is_finished else _unshared(theirs, ours)
    if differing and is_diary(theirs):
        return Fate.APART
    if differing:
        raise ValueError(
            f"run {theirs.run_id} ({theirs.name}) is in the store with different content ({differing}); nothing of "
            "this bundle was imported: import it into another store, or delete the run here and it is passed over"
        )
    if theirs.status == ours.status and _holds(ours, theirs) and _holds(theirs, ours):
        return Fate.SAME
    return Fate.BEHIND if _progress(theirs) > _progress(ours) or not _holds(ours, theirs) else Fate.AHEAD


def _progress(record: RunRecord) -> int:
    """How far a run has come, as its status tells it."""
    return 2 if record.is_finished else int(record.status not in ("RUNNING", "SCHEDULED"))


def _unshared(theirs: RunRecord, ours: RunRecord) -> str:
    """What is wrong with two copies of which one at least is unfinished; empty if one holds the other."""
    if theirs.is_finished != ours.is_finished:
        further, behind = (theirs, ours) if theirs.is_finished else (ours, theirs)
        return "" if _holds(further, behind) else UNSHARED
    return "" if _holds(theirs, ours) or _holds(ours, theirs) else UNSHARED


def _difference(a: RunRecord, b: RunRecord) -> str:
    """The first param, metric, or tag of ours in both, that differs between finished copies; empty if none does."""
    tags = [key for key in a.tags.keys() & b.tags.keys() if key.startswith(PREFIX) and key not in PASSING]
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


def _holds(further: RunRecord, behind: RunRecord) -> bool:
    """Whether one copy of a run has everything that the other has."""
    params = behind.params.items() <= further.params.items()
    return params and all(set(points) <= set(further.metrics.get(key, ())) for key, points in behind.metrics.items())
