"""How is a bundle merged into a store, wholly or not at all?"""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from tqdm import tqdm

from lmc_mlflow.bundles.archive import RUNS, Bundle
from lmc_mlflow.bundles.artifact_locations import Place, digests_at
from lmc_mlflow.bundles.database import Database
from lmc_mlflow.bundles.reconcile import Fate, fate_of, is_diary
from lmc_mlflow.bundles.records import RunRecord, from_line
from lmc_mlflow.bundles.sql_rows import (
    add_run,
    complete_run,
    note_left_out,
    stored_record,
    stored_runs,
)
from lmc_mlflow.contract import Artifact, Tag
from lmc_mlflow.errors import first_line
from lmc_mlflow.tracking.process import is_alive
from lmc_mlflow.tracking.store import StoreError

KEPT_FOLDER = Artifact.PREDICTIONS_FOLDER
"""What runs keep after they are sealed: it may differ from machine to machine, and the store's stays."""
SCRATCH_FOLDER = Artifact.RESUME_FOLDER
"""What a finished run does not have any more."""


@dataclass(frozen=True)
class Step:
    """What is done with one run of a bundle.

    Attributes:
        record: the run.
        fate: what becomes of it.
        experiment_id: of its experiment here.
        uri: of its artifacts here.
        place: the same, to write to.
        add: artifact path -> name in the bundle, of those that the store lacks or has older.
        absent: paths that the store will not have.
        scratch: paths that the store has and a finished run has not.
    """

    record: RunRecord
    fate: Fate
    experiment_id: str
    uri: str
    place: Place
    add: Mapping[str, str]
    absent: tuple[str, ...]
    scratch: tuple[str, ...]


@dataclass(frozen=True)
class Merged:
    """How many runs had which fate, and how many artifacts were added."""

    fates: Counter[Fate]
    num_artifacts: int
    experiments: frozenset[str]


def read_records(bundle: Bundle) -> list[RunRecord]:
    """The runs of a bundle.

    Raises:
        ValueError: they cannot be read, or do not fit its artifacts.
    """
    try:
        records = [from_line(line) for line in bundle.text(RUNS).splitlines()]
    except ValueError as error:
        raise ValueError(f"{bundle.path}: {error}") from None
    ids = {record.run_id for record in records}
    owners = {name.split("/")[1] for name in bundle.files if name != RUNS}
    if len(ids) < len(records) or not owners <= ids:
        raise ValueError(f"{bundle.path}: a run is listed twice, or artifacts are of no run; export it again")
    return records


def merge(bundle: Bundle, database: Database) -> Merged:
    """Merge a bundle: everything is checked, then artifacts are put in place, then one transaction adds the runs.

    Killed at any moment it leaves at most artifacts that no run names yet, and experiments without
    runs; the same command uses both.

    Raises:
        ValueError: a run is in the store with different content; nothing was changed.
    """
    records = read_records(bundle)
    with database.session() as session:
        rows = stored_runs(session, [record.run_id for record in records])
        fates = {record.run_id: _fate(session, record, rows.get(record.run_id)) for record in records}
        known = {run_id: (str(row.experiment_id), row.artifact_uri) for run_id, row in rows.items()}
    for record in records:
        database.experiment(record.experiment)  # refused before anything is made
    records.sort(key=lambda record: record.run_id not in known)  # what can be refused is looked at first
    steps = [_step(bundle, database, record, fates[record.run_id], known) for record in records]
    todo = [step for step in steps if step.add]
    for step in tqdm(todo, desc="artifacts", unit="run", leave=False, disable=None):
        step.place.put({path: functools.partial(bundle.copy, name) for path, name in step.add.items()})
    _write_rows(database, steps)
    for step in steps:
        step.place.remove(step.scratch)
    return Merged(
        Counter(step.fate for step in steps),
        sum(len(step.add) for step in steps),
        frozenset(step.experiment_id for step in steps),
    )


def _fate(session: Session, record: RunRecord, row: Any) -> Fate:
    if row is None:
        return Fate.NEW
    ours = stored_record(session, row)
    fate = fate_of(record, ours, row.lifecycle_stage == "deleted")
    is_live = ours.status == "RUNNING" and Tag.HOST in ours.tags and is_alive(ours.tags)
    if is_live and fate is Fate.BEHIND:
        raise ValueError(f"run {ours.run_id} is being written here at this moment; wait for it, then import again")
    return Fate.AHEAD if is_live else fate


def _step(
    bundle: Bundle, database: Database, record: RunRecord, fate: Fate, known: Mapping[str, tuple[str, str]]
) -> Step:
    """Plan one run; the only thing that is changed is that an experiment that is missing is made."""
    if record.run_id in known:
        experiment_id, uri = known[record.run_id]
    else:
        experiment = database.experiment(record.experiment) or database.make_experiment(record.experiment)
        experiment_id = experiment.experiment_id
        uri = f"{experiment.artifact_location.rstrip('/')}/{record.run_id}/artifacts"
    place = database.place(uri)
    files = bundle.artifacts(record.run_id)
    if fate in (Fate.AHEAD, Fate.APART, Fate.DELETED):
        return Step(record, fate, experiment_id, uri, place, {}, (), ())
    present = digests_at(place)
    digests = {path: bundle.files[name]["sha256"] for path, name in files.items()}
    differing = [path for path in files if path in present and present[path] != digests[path]]
    if fate is not Fate.BEHIND:
        altered = [path for path in differing if path.split("/")[0] != KEPT_FOLDER]
        if altered and is_diary(record):
            return Step(record, Fate.APART, experiment_id, uri, place, {}, (), ())
        if altered:
            raise ValueError(
                f"run {record.run_id} ({record.name}): its artifact {altered[0]} at {uri} is another than in the "
                "bundle; nothing of this bundle was imported"
            )
        differing = []
    add = {path: name for path, name in files.items() if path not in present or path in differing}
    absent = tuple(path for path in record.left_out if path not in present)
    scratch = [path for path in present if record.is_finished and path.split("/")[0] == SCRATCH_FOLDER]
    return Step(record, fate, experiment_id, uri, place, add, absent, tuple(p for p in scratch if p not in files))


def _write_rows(database: Database, steps: Sequence[Step]) -> None:
    """Add or complete all runs in one transaction.

    Raises:
        StoreError: the database does not take them; none of them was written.
    """
    try:
        with database.session() as session, session.begin():
            for step in tqdm(steps, desc="runs", unit="run", leave=False, disable=None):
                if step.fate is Fate.NEW:
                    add_run(session, step.record, step.experiment_id, step.uri)
                elif step.fate is Fate.BEHIND:
                    complete_run(session, step.record, step.experiment_id)
                if step.fate in (Fate.NEW, Fate.BEHIND) or step.add:
                    note_left_out(session, step.record.run_id, step.absent)
    except SQLAlchemyError as error:
        reason = first_line(error)
        raise StoreError(f"no run was imported ({reason}); give the same command again") from None
