"""Is what is to be made in the store already, finished or interrupted, or is another process at work on it?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lmc_mlflow.contract import Tag
from lmc_mlflow.query.runs import Run, search
from lmc_mlflow.tracking.locks import ClaimedError
from lmc_mlflow.tracking.process import is_alive
from lmc_mlflow.tracking.store import Store


@dataclass(frozen=True)
class Before:
    """What the store holds of a configuration: a finished run, an interrupted one, or neither."""

    finished: Run | None
    interrupted: Run | None


class AtWorkError(ValueError):
    """Another process that lives is at work on the same configuration."""


def take(claim: Callable[[str], None], key: str) -> None:
    """Claim a piece of work for this process.

    Raises:
        AtWorkError: another process was quicker.
    """
    try:
        claim(key)
    except ClaimedError as taken:
        process = f"process {taken.tags.get(Tag.PID)} on {taken.tags.get(Tag.HOST)}"
        raise AtWorkError(
            f"another process is at work on this configuration now ({process}); wait for it or stop it"
        ) from None


def look_for(store: Store, kind: str, identity: Mapping[str, str]) -> Before:
    """Look for a run in the store by tags that say what it is.

    Raises:
        AtWorkError: it is being made at this moment.
    """
    wanted = {Tag.KIND: kind, **identity}
    where = " and ".join(f"tags.`{key}` = '{value}'" for key, value in wanted.items())
    return sort_out(search(store.client, where, [store.experiment_id]))


def sort_out(runs: Sequence[Run]) -> Before:
    """The newest finished and the newest interrupted of the runs of one configuration, oldest first.

    Raises:
        AtWorkError: one of them is being made at this moment.
    """
    finished = [run for run in runs if run.info.status == "FINISHED"]
    others = [run for run in runs if run.info.status != "FINISHED"]
    for run in others:
        if run.info.status == "RUNNING" and is_alive(run.data.tags):
            tags = run.data.tags
            raise AtWorkError(
                f"run {run.info.run_id} is at work on this configuration now (process {tags.get(Tag.PID)} "
                f"on {tags.get(Tag.HOST)}); wait for it or stop it"
            )
    return Before(finished[-1] if finished else None, others[-1] if others else None)
