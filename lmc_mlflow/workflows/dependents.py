"""Finds what hangs on a run: the runs below it, and those that were computed from it."""

import re
from collections import defaultdict
from collections.abc import Mapping

from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.query.members import member_runs
from lmc_mlflow.query.runs import Run
from lmc_mlflow.tracking.connection.store import Store

PARENT = "mlflow.parentRunId"
REFERENCES = (
    Tag.RUN_A,
    Tag.RUN_B,
    Tag.RUN_C,
    Tag.PAIR,
    Tag.MEMBERS,
    Tag.SOURCES,
    Tag.HELD_OUT,
    Tag.ENDPOINT,
    Tag.CURVE,
    Tag.START,
    Tag.TRAJECTORY,
    Tag.REFERENCE_RUN,
    Tag.SEE,
)
"""Tags that name the runs from which a run was computed."""
COLLECTIONS = (Kind.SWEEP, Kind.REPORT)
"""Kinds whose runs below stand on their own: their pairs and paths stay without them."""
_RUN_ID = re.compile(r"[0-9a-f]{32}")


def hang_on(store: Store, run_id: str, everything: Mapping[str, Run]) -> list[Run]:
    """List the run and all that hangs on it, directly or not; what was computed last comes first.

    Args:
        store: where they are.
        run_id: of the run.
        everything: run id -> run, of the whole store.
    """
    on: dict[str, set[str]] = defaultdict(set)
    for other, run in everything.items():
        for name in named_by(store, run, everything):
            on[name].add(other)
    found, waiting = {run_id}, [run_id]
    while waiting:
        new = on[waiting.pop()] - found
        found |= new
        waiting += new
    return sorted((everything[other] for other in found), key=lambda run: run.info.start_time, reverse=True)


def named_by(store: Store, run: Run, everything: Mapping[str, Run]) -> set[str]:
    """List the runs without which a run cannot be read, or means nothing."""
    tags = run.data.tags
    named = set(_RUN_ID.findall(" ".join(tags.get(name, "") for name in REFERENCES)))
    if tags.get(Tag.KIND) == Kind.ENSEMBLE:  # of many members only an artifact holds the names
        named.update(member_runs(store.client, run))
    parent = everything.get(tags.get(PARENT, ""))
    if parent is not None and parent.data.tags.get(Tag.KIND) not in COLLECTIONS:
        named.add(parent.info.run_id)
    return named - {run.info.run_id}
