"""Reads and writes the rows of MLflow's own tables that are a run, since no client can choose a run's id."""

# `tests/test_bundles.py` checks every fact about these tables that is relied on.

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from mlflow.store.tracking.dbmodels.models import (
    SqlDataset,
    SqlInput,
    SqlInputTag,
    SqlLatestMetric,
    SqlMetric,
    SqlParam,
    SqlRun,
    SqlTag,
)
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from lmc_mlflow.bundles.metric_histories import read_histories
from lmc_mlflow.bundles.records import LEFT_OUT, Point, RunRecord

TAG_LENGTH = 8000
TABLES = (SqlRun, SqlParam, SqlTag, SqlMetric, SqlLatestMetric, SqlDataset, SqlInput, SqlInputTag)
"""The tables that rows are added to; each refers to earlier ones only."""
MANY = 5000
"""Rows that are added at once: a statement for each run and table takes most of the time of an import."""


class NewRows:
    """Adds rows within a session, many at a time; those that are still held are written by `write`."""

    def __init__(self, session: Session) -> None:
        """Hold no rows yet."""
        self.session = session
        self._held: dict[Any, list[dict[str, Any]]] = {table: [] for table in TABLES}
        self._datasets: dict[tuple[int, str, str], str] = {}

    def add(self, table: Any, rows: list[dict[str, Any]]) -> None:
        """Hold rows; all that are held are written where they have become many."""
        self._held[table] += rows
        if sum(map(len, self._held.values())) >= MANY:
            self.write()

    def write(self) -> None:
        """Write the rows that are held."""
        for table, rows in self._held.items():
            if rows:
                self.session.execute(insert(table.__table__), rows)
                rows.clear()

    def dataset_uuid(self, row: dict[str, Any]) -> str:
        """Find a data set of an experiment by its name and digest, or add its row; return its id."""
        key = (row["experiment_id"], row["name"], row["digest"])
        if key not in self._datasets:
            known = self.session.get(SqlDataset, key)
            self._datasets[key] = uuid.uuid4().hex if known is None else str(known.dataset_uuid)
            if known is None:
                self.add(SqlDataset, [{"dataset_uuid": self._datasets[key], **row}])
        return self._datasets[key]


def find_runs(session: Session, run_ids: Iterable[str]) -> dict[str, Any]:
    """Find the rows of runs that the store knows, deleted ones too: run id -> row."""
    return {run_id: row for run_id in run_ids if (row := session.get(SqlRun, run_id)) is not None}


def read_record(session: Session, row: Any) -> RunRecord:
    """Read a run as the store has it, without its inputs."""
    return RunRecord(
        run_id=row.run_uuid,
        experiment="",
        name=row.name or "",
        status=row.status,
        start_time=row.start_time,
        end_time=row.end_time,
        user=row.user_id,
        params=_texts(session, SqlParam, row.run_uuid),
        tags=_texts(session, SqlTag, row.run_uuid),
        metrics=read_histories(session, row.run_uuid),
        inputs=(),
        left_out=(),
    )


def _texts(session: Session, table: Any, run_id: str) -> dict[str, str]:
    found = session.execute(select(table.key, table.value).where(table.run_uuid == run_id))
    return {row.key: row.value for row in found}


def add_run(rows: NewRows, record: RunRecord, experiment_id: str, artifact_uri: str) -> None:
    """Add the rows of a run that the store does not know."""
    row = {
        "run_uuid": record.run_id,
        "name": record.name,
        "source_type": "UNKNOWN",
        "source_name": "",
        "entry_point_name": "",
        "source_version": "",
        "user_id": record.user,
        "start_time": record.start_time,
        "deleted_time": None,
        "lifecycle_stage": "active",
        "artifact_uri": artifact_uri,
        "experiment_id": int(experiment_id),
        **_ending(record),
    }
    rows.add(SqlRun, [row])
    _add_content(rows, record, experiment_id)


def complete_run(rows: NewRows, record: RunRecord, experiment_id: str) -> None:
    """Replace an unfinished run by a further copy of it; tags that the copy does not have stay."""
    session = rows.session
    session.execute(update(SqlRun).where(SqlRun.run_uuid == record.run_id).values(_ending(record)))
    for table in (SqlParam, SqlMetric, SqlLatestMetric):
        session.execute(delete(table).where(table.run_uuid == record.run_id))
    session.execute(delete(SqlTag).where(SqlTag.run_uuid == record.run_id, SqlTag.key.in_(list(record.tags))))
    old = select(SqlInput.input_uuid).where(
        SqlInput.destination_type == "RUN", SqlInput.destination_id == record.run_id
    )
    session.execute(delete(SqlInputTag).where(SqlInputTag.input_uuid.in_(old)))
    session.execute(
        delete(SqlInput).where(SqlInput.destination_type == "RUN", SqlInput.destination_id == record.run_id)
    )
    _add_content(rows, record, experiment_id)


def note_left_out(rows: NewRows, run_id: str, paths: Sequence[str]) -> None:
    """Name in a tag the artifacts of a run that the store does not have; no tag where it has them all."""
    rows.session.execute(delete(SqlTag).where(SqlTag.run_uuid == run_id, SqlTag.key == LEFT_OUT))
    if paths:
        rows.add(SqlTag, [{"run_uuid": run_id, "key": LEFT_OUT, "value": ",".join(paths)[:TAG_LENGTH]}])


def _ending(record: RunRecord) -> dict[str, Any]:
    return {"status": record.status, "end_time": record.end_time}


def _add_content(rows: NewRows, record: RunRecord, experiment_id: str) -> None:
    run_id = record.run_id
    tags = {key: text for key, text in record.tags.items() if key != LEFT_OUT}  # `note_left_out` adds it
    for table, texts in ((SqlParam, record.params), (SqlTag, tags)):
        rows.add(table, [{"run_uuid": run_id, "key": key, "value": text} for key, text in texts.items()])
    rows.add(SqlMetric, [_metric(run_id, key, p) for key, points in record.metrics.items() for p in points])
    latest = {key: max(points, key=_recency) for key, points in record.metrics.items() if points}
    rows.add(SqlLatestMetric, [_metric(run_id, key, point) for key, point in latest.items()])
    _add_inputs(rows, record, int(experiment_id))


def _metric(run_id: str, key: str, point: Point) -> dict[str, Any]:
    step, timestamp, value = point
    is_nan = value is None
    number = 0.0 if is_nan else value
    return {"run_uuid": run_id, "key": key, "step": step, "timestamp": timestamp, "value": number, "is_nan": is_nan}


def _recency(point: Point) -> tuple[int, int, float]:
    """Rank points by MLflow's rule for the latest: last step, then last time, then highest value (NaN is 0)."""
    step, timestamp, value = point
    return step, timestamp, 0.0 if value is None else value


def _add_inputs(rows: NewRows, record: RunRecord, experiment_id: int) -> None:
    for item in record.inputs:
        dataset = {
            "experiment_id": experiment_id,
            "name": item.name,
            "digest": item.digest,
            "dataset_source_type": item.source_type,
            "dataset_source": item.source,
            "dataset_schema": item.schema,
            "dataset_profile": item.profile,
        }
        edge = {
            "input_uuid": uuid.uuid4().hex,
            "source_type": "DATASET",
            "source_id": rows.dataset_uuid(dataset),
            "destination_type": "RUN",
            "destination_id": record.run_id,
        }
        rows.add(SqlInput, [edge])
        tags = [{"input_uuid": edge["input_uuid"], "name": key, "value": text} for key, text in item.tags.items()]
        rows.add(SqlInputTag, tags)
