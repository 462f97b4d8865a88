"""Merges a bundle into a store, wholly or not at all."""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from tqdm import tqdm

from lmc_mlflow.bundles.archive import RUNS, Bundle
from lmc_mlflow.bundles.artifact_locations import ArtifactLocation, artifact_digests
from lmc_mlflow.bundles.database import Database
from lmc_mlflow.bundles.reconcile import Resolution, resolve, tells_status
from lmc_mlflow.bundles.records import RunRecord, from_line
from lmc_mlflow.bundles.sql_rows import (
    NewRows,
    add_run,
    complete_run,
    find_runs,
    note_left_out,
    read_record,
)
from lmc_mlflow.contract import Artifact, Tag
from lmc_mlflow.errors import first_line
from lmc_mlflow.tracking.connection.store import StoreError
from lmc_mlflow.tracking.processes.process import is_alive

UNSEALED_FOLDER = Artifact.PREDICTIONS_FOLDER
"""Artifacts added after a run is sealed: they may differ from machine to machine, and the store's stay."""
SCRATCH_FOLDER = Artifact.RESUME_FOLDER
"""Artifacts that a finished run no longer has."""


@dataclass(frozen=True)
class RunPlan:
    """The planned import of one run of a bundle.

    Attributes:
        record: the run.
        resolution: what the import does with it.
        experiment_id: of its experiment here.
        uri: of its artifacts here.
        location: the same, to write to.
        add: artifact path -> name in the bundle, of those that the store lacks or has older.
        absent: paths that the store will not have.
        scratch: paths that the store has and a finished run has not.
    """

    record: RunRecord
    resolution: Resolution
    experiment_id: str
    uri: str
    location: ArtifactLocation
    add: Mapping[str, str]
    absent: tuple[str, ...]
    scratch: tuple[str, ...]


@dataclass(frozen=True)
class MergeResult:
    """How many runs had which resolution, how many artifacts were added, and in which experiments the runs are."""

    resolutions: Counter[Resolution]
    num_artifacts: int
    experiments: frozenset[str]


def read_records(bundle: Bundle) -> list[RunRecord]:
    """Read the runs of a bundle.

    Raises:
        ValueError: they cannot be read, or do not fit its artifacts.
    """
    try:
        records = [from_line(line) for line in bundle.lines(RUNS)]
    except ValueError as error:
        raise ValueError(f"{bundle.path}: {error}") from None
    ids = {record.run_id for record in records}
    owners = {name.split("/")[1] for name in bundle.files if name != RUNS}
    if len(ids) < len(records) or not owners <= ids:
        raise ValueError(f"{bundle.path}: a run is listed twice, or artifacts are of no run; export it again")
    return records


def merge(bundle: Bundle, records: Sequence[RunRecord], database: Database) -> MergeResult:
    """Merge a bundle: check everything, then add the artifacts, then add the runs in one transaction.

    An error on the way takes back what was added. Killed at any moment it leaves at most artifacts that no run
    names yet, and experiments without runs; the same command uses both.

    Args:
        bundle: an open one.
        records: its runs.
        database: the store.

    Raises:
        ValueError: a run is in the store with different content; nothing was changed.
        StoreError: the database or the artifacts cannot be written to; nothing was changed.
    """
    with database.session() as session:
        rows = find_runs(session, [record.run_id for record in records])
        resolutions = {record.run_id: _resolve(session, record, rows.get(record.run_id)) for record in records}
        known = {run_id: (str(row.experiment_id), row.artifact_uri) for run_id, row in rows.items()}
    names = {record.experiment for record in records}
    experiments = {name: database.experiment(name) for name in names}  # refused before anything is made
    ordered = sorted(records, key=lambda record: record.run_id not in known)  # what can be refused comes first
    with ExitStack() as added:
        plans = []
        for record in ordered:
            place = known.get(record.run_id)
            if place is None:
                name = record.experiment
                experiment = experiments[name] or added.enter_context(database.adding_experiment(name))
                experiments[name] = experiment
                place = (
                    experiment.experiment_id,
                    f"{experiment.artifact_location.rstrip('/')}/{record.run_id}/artifacts",
                )
            plans.append(_plan(bundle, database, record, resolutions[record.run_id], place))
        with_artifacts = [plan for plan in plans if plan.add]
        for plan in tqdm(with_artifacts, desc="artifacts", unit="run", leave=False, disable=None):
            files = {path: functools.partial(bundle.copy, name) for path, name in plan.add.items()}
            added.enter_context(plan.location.adding(files))
        _write_rows(database, plans)
    for plan in plans:
        plan.location.remove(plan.scratch)
    return MergeResult(
        Counter(plan.resolution for plan in plans),
        sum(len(plan.add) for plan in plans),
        frozenset(plan.experiment_id for plan in plans),
    )


def _resolve(session: Session, record: RunRecord, row: Any) -> Resolution:
    if row is None:
        return Resolution.NEW
    ours = read_record(session, row)
    resolution = resolve(record, ours, row.lifecycle_stage == "deleted")
    is_live = ours.status == "RUNNING" and Tag.HOST in ours.tags and is_alive(ours.tags)
    if is_live and resolution is Resolution.BEHIND:
        raise ValueError(f"run {ours.run_id} is being written here at this moment; wait for it, then import again")
    return Resolution.AHEAD if is_live else resolution


def _plan(
    bundle: Bundle,
    database: Database,
    record: RunRecord,
    resolution: Resolution,
    place: tuple[str, str],
) -> RunPlan:
    """Plan the import of one run into an experiment and to where its artifacts are; nothing is changed."""
    experiment_id, uri = place
    location = database.artifact_location(uri)
    files = bundle.artifacts(record.run_id)
    if resolution in (Resolution.AHEAD, Resolution.DIVERGED, Resolution.DELETED):
        return RunPlan(record, resolution, experiment_id, uri, location, {}, (), ())
    present = artifact_digests(location)
    digests = {path: bundle.files[name].sha256 for path, name in files.items()}
    differing = [path for path in files if path in present and present[path] != digests[path]]
    if resolution is not Resolution.BEHIND:
        altered = [path for path in differing if path.split("/")[0] != UNSEALED_FOLDER]
        if altered and tells_status(record):
            return RunPlan(record, Resolution.DIVERGED, experiment_id, uri, location, {}, (), ())
        if altered:
            raise ValueError(
                f"run {record.run_id} ({record.name}): its artifact {altered[0]} at {uri} differs from the one "
                "in the bundle; nothing of this bundle was imported"
            )
        differing = []
    add = {path: name for path, name in files.items() if path not in present or path in differing}
    absent = tuple(path for path in record.left_out if path not in present)
    scratch = [path for path in present if record.is_finished and path.split("/")[0] == SCRATCH_FOLDER]
    removed = tuple(path for path in scratch if path not in files)
    return RunPlan(record, resolution, experiment_id, uri, location, add, absent, removed)


def _write_rows(database: Database, plans: Sequence[RunPlan]) -> None:
    """Add or complete all runs in one transaction.

    Raises:
        StoreError: the database does not take them; none of them was written.
    """
    try:
        with database.session() as session, session.begin():
            rows = NewRows(session)
            for plan in tqdm(plans, desc="runs", unit="run", leave=False, disable=None):
                if plan.resolution is Resolution.NEW:
                    add_run(rows, plan.record, plan.experiment_id, plan.uri)
                elif plan.resolution is Resolution.BEHIND:
                    complete_run(rows, plan.record, plan.experiment_id)
                if plan.resolution in (Resolution.NEW, Resolution.BEHIND) or plan.add:
                    note_left_out(rows, plan.record.run_id, plan.absent)
            rows.write()
    except SQLAlchemyError as error:
        reason = first_line(error)
        raise StoreError(f"no run was imported ({reason}); give the same command again") from None
