"""Reads every point of a run's metrics: all at once from a database, some keys at a time from a server."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from mlflow.entities import Run
from mlflow.store.tracking.dbmodels.models import SqlMetric
from sqlalchemy import select
from sqlalchemy.orm import Session

from lmc_mlflow.bundles.database import is_server, open_database
from lmc_mlflow.bundles.records import Point
from lmc_mlflow.tracking.connection.store import Store

Histories = Mapping[str, tuple[Point, ...]]
NUM_THREADS = 8
_COLUMNS: Any = (SqlMetric.key, SqlMetric.step, SqlMetric.timestamp, SqlMetric.value, SqlMetric.is_nan)


@contextmanager
def history_reader(store: Store) -> Iterator[Callable[[Run], Histories]]:
    """Yield a function that reads every point of each metric of a run, in the order of steps."""
    if not is_server(store.uri):
        with open_database(store.uri, "").session() as session:
            yield lambda run: read_histories(session, run.info.run_id)
        return
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        yield lambda run: _ask_server(store, run, pool)


def read_histories(session: Session, run_id: str) -> Histories:
    """Read every point of a run's metrics from the database."""
    points: dict[str, list[Point]] = defaultdict(list)
    for row in session.execute(select(*_COLUMNS).where(SqlMetric.run_uuid == run_id)):
        points[row.key].append((row.step, row.timestamp, None if row.is_nan else row.value))
    return {key: tuple(sorted(found, key=_sort_key)) for key, found in sorted(points.items())}


def _ask_server(store: Store, run: Run, pool: ThreadPoolExecutor) -> Histories:
    keys = sorted(run.data.metrics)
    found = pool.map(lambda key: store.client.get_metric_history(run.info.run_id, key), keys)
    points = [[(m.step, m.timestamp, None if math.isnan(m.value) else m.value) for m in history] for history in found]
    return {key: tuple(sorted(history, key=_sort_key)) for key, history in zip(keys, points, strict=True)}


def _sort_key(point: Point) -> tuple[int, int, float]:
    """Sort points by step, time and value, NaN first."""
    step, timestamp, value = point
    return step, timestamp, -math.inf if value is None else value
