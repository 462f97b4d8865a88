"""How far is each cell of a grid in the store? A few searches for all of them, not one query a cell."""

from collections.abc import Mapping
from dataclasses import dataclass

from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.contract import Kind, Tag, where
from lmc_mlflow.query.runs import Run, search
from lmc_mlflow.sweeps.grid import Cell, Job
from lmc_mlflow.sweeps.steps import Identity, Step, made, wanted
from lmc_mlflow.tracking.process import is_alive
from lmc_mlflow.tracking.store import Store

FINISHED, RUNNING, INTERRUPTED, FAILED, TO_DO = "finished", "running", "interrupted", "failed", "to do"
STATES = (FINISHED, RUNNING, INTERRUPTED, FAILED, TO_DO)


@dataclass(frozen=True)
class State:
    """How far something is; where it failed, why and when (milliseconds since 1970)."""

    word: str
    why: str = ""
    ended: int = 0
    pair: str = ""


@dataclass(frozen=True)
class Snapshot:
    """What the store held of pairs, paths and ensembles at one moment.

    Attributes:
        pairs: (fingerprint, digest of the data) -> runs, oldest first.
        ends: pair run -> its endpoints A and B.
        steps: what a path or ensemble is -> its runs.
    """

    pairs: Mapping[tuple[str, str], list[Run]]
    ends: Mapping[str, tuple[str, str]]
    steps: Mapping[Identity, list[Run]]

    def of_pair(self, fingerprint: str, digest: str | None) -> list[Run]:
        """The runs of a configuration, on these data or, without a digest, on any."""
        if digest is not None:
            return self.pairs.get((fingerprint, digest), [])
        return [run for (known, _), runs in self.pairs.items() if known == fingerprint for run in runs]


def look(store: Store) -> Snapshot:
    """Read the store: one search a kind of run."""

    def runs(kind: str) -> list[Run]:
        return search(store.client, where(kind=kind), [store.experiment_id])

    pairs: dict[tuple[str, str], list[Run]] = {}
    for run in runs(Kind.PAIR):
        tags = run.data.tags
        pairs.setdefault((tags.get(Tag.FINGERPRINT, ""), tags.get(Tag.DATA_DIGEST, "")), []).append(run)
    sides: dict[str, dict[str, str]] = {}
    for run in runs(Kind.ENDPOINT):
        tags = run.data.tags
        sides.setdefault(tags.get("mlflow.parentRunId", ""), {})[tags.get(Tag.SIDE, "")] = run.info.run_id
    steps: dict[Identity, list[Run]] = {}
    for run in [*runs(Kind.PATH), *runs(Kind.ENSEMBLE)]:
        steps.setdefault(made(run.data.tags), []).append(run)
    return Snapshot(pairs, {pair: (ends.get("A", ""), ends.get("B", "")) for pair, ends in sides.items()}, steps)


def runs_of_step(store: Store, identity: Identity) -> list[Run]:
    """The runs of one path or ensemble."""
    tags = {Tag.KIND: Kind.PATH if identity[0] == "path" else "ensemble", Tag.FINGERPRINT: identity[-1]}
    if identity[0] == "path":
        tags |= {Tag.RUN_A: identity[1], Tag.RUN_B: identity[2]}
    else:
        tags |= {Tag.SAMPLING: identity[0], Tag.PAIR if identity[0] == "lmc" else Tag.MEMBERS: identity[1]}
    where = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    return search(store.client, where, [store.experiment_id])


def state_of_runs(runs: list[Run]) -> State:
    """How far the thing is that these runs, oldest first, attempted."""
    finished = [run for run in runs if run.info.status == "FINISHED"]
    if finished:
        return State(FINISHED, pair=finished[-1].info.run_id)
    if not runs:
        return State(TO_DO)
    if any(run.info.status == "RUNNING" and is_alive(run.data.tags) for run in runs):
        return State(RUNNING)
    last = runs[-1]
    if last.info.status == "FAILED":
        return State(FAILED, last.data.tags.get(Tag.ERROR, ""), int(last.info.end_time or 0))
    return State(INTERRUPTED)


def state_of_cell(cell: Cell, snapshot: Snapshot, digest: str | None) -> State:
    """How far a cell is: its pair and every step that follows it.

    Args:
        cell: of a grid.
        snapshot: of the store.
        digest: of its data; None where they have not been loaded: pairs on any data count.
    """
    pair = state_of_runs(snapshot.of_pair(cell.key, digest))
    if pair.word != FINISHED:
        return pair
    ends = snapshot.ends.get(pair.pair, ("", ""))
    states = [_of_step(step, pair.pair, ends, cell.config, snapshot) for step in cell.then]
    return _worst(states, pair.pair)


def state_of_together(job: Job, pairs: list[str], snapshot: Snapshot) -> State:
    """How far the ensembles of all seeds of a job are.

    Args:
        job: with its steps.
        pairs: the finished pair of each cell, in order.
        snapshot: of the store.
    """
    ends = [snapshot.ends.get(pair, ("", "")) for pair in pairs]
    states = []
    for step in job.together:
        members = [end["AB".index(step.side)] for end in ends]
        states.append(_of_step(step, "", members, job.cells[0].config, snapshot))
    return _worst(states, "")


def _of_step(
    step: Step, pair: str, members: "tuple[str, ...] | list[str]", like: TrainPairConfig, snapshot: Snapshot
) -> State:
    return state_of_runs(snapshot.steps.get(wanted(step, pair, members, like), []))


def _worst(states: list[State], pair: str) -> State:
    """One state for several steps of a trained pair."""
    for word in (RUNNING, FAILED):
        for state in states:
            if state.word == word:
                return State(word, state.why, state.ended, pair)
    return State(FINISHED if all(state.word == FINISHED for state in states) else INTERRUPTED, pair=pair)
