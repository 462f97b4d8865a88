"""Finds runs by id, prefix, tags or parent, over all pages of the server's answer."""

import gc
import math
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from mlflow import MlflowClient
from mlflow.entities import Run as Run
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from lmc_mlflow.contract import Tag, where_tags
from lmc_mlflow.tracking.connection.address import tracking_uri
from lmc_mlflow.tracking.connection.client import client_of

PAGE = 1000
SHORTEST_PREFIX = 3
"""Characters: a shorter one may be a number or a slip of the keyboard, and can be the beginning of some run's id."""


def default_client(uri: str | None = None) -> MlflowClient:
    """Make a client of a tracking server; None: of the one that MLflow's own settings name."""
    return client_of(tracking_uri() if uri is None else uri)


def all_experiments(client: MlflowClient) -> list[str]:
    """List the ids of all active experiments."""
    ids: list[str] = []
    token: str | None = None
    while True:
        page = client.search_experiments(view_type=ViewType.ACTIVE_ONLY, max_results=PAGE, page_token=token)
        ids += [experiment.experiment_id for experiment in page]
        token = page.token
        if not token:
            return ids


def search(client: MlflowClient, filter_string: str, experiment_ids: Sequence[str] | None = None) -> list[Run]:
    """Find all active runs that match an MLflow filter, oldest first, over every page.

    Args:
        client: of the server.
        filter_string: in MLflow's search syntax.
        experiment_ids: where to look; None: everywhere.
    """
    ids = list(experiment_ids) if experiment_ids is not None else all_experiments(client)
    runs: list[Run] = []
    token: str | None = None
    with _without_collection():
        while True:
            page = client.search_runs(
                ids, filter_string, max_results=PAGE, order_by=["attributes.start_time ASC"], page_token=token
            )
            runs += page
            token = page.token
            if not token:
                return runs


@contextmanager
def _without_collection() -> Iterator[None]:
    """Switch garbage collection off in a block: with 126,000 live objects (2,000 runs) it takes 60 % of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def resolve_run(client: MlflowClient, run_id: str) -> Run:
    """Find the run with this id, or the only run whose id begins with it.

    Raises:
        ValueError: there is none, there are several, or the beginning is shorter than three characters.
    """
    if not re.fullmatch(r"[0-9A-Za-z]+", run_id):
        raise ValueError(
            f"run id {run_id!r}: letters and digits only; copy it from the UI or from what train_pair printed"
        )
    if len(run_id) < SHORTEST_PREFIX:
        raise ValueError(f"run id {run_id!r}: too short; give at least {SHORTEST_PREFIX} characters of it")
    if len(run_id) == 32:
        try:
            return client.get_run(run_id)
        except MlflowException:
            problem = f"run {run_id} does not exist in {client.tracking_uri}"
            raise ValueError(f"{problem}; check the id, and MLFLOW_TRACKING_URI if it is in another store") from None
    found = search(client, f"attributes.run_id LIKE '{run_id}%'")
    if not found:
        raise ValueError(
            f"no run's id begins with {run_id!r} in {client.tracking_uri}; check the id, and MLFLOW_TRACKING_URI"
        )
    if len(found) > 1:
        raise ValueError(
            f"{len(found)} runs' ids begin with {run_id!r} "
            f"({', '.join(r.info.run_id[:12] for r in found[:4])}); give more of it"
        )
    return found[0]


def children(client: MlflowClient, run: Run, kind: str) -> list[Run]:
    """Find the child runs of one kind, oldest first."""
    where = f"tags.`mlflow.parentRunId` = '{run.info.run_id}' and {where_tags({Tag.KIND: kind})}"
    return search(client, where, [run.info.experiment_id])


def metric_curve(client: MlflowClient, run_id: str, key: str) -> dict[int, float]:
    """Read a metric of a run over its steps; empty if it was never logged."""
    return {point.step: point.value for point in client.get_metric_history(run_id, key)}


def largest_curve_difference(client: MlflowClient, a: str, b: str, keys: Collection[str]) -> float:
    """Find the largest difference of the same metrics of two runs; infinite where one lacks a step of the other.

    Args:
        client: of the store.
        a: run id.
        b: run id.
        keys: of the metrics.
    """
    largest = 0.0
    for key in keys:
        left, right = metric_curve(client, a, key), metric_curve(client, b, key)
        if left.keys() != right.keys():
            return math.inf
        largest = max([largest, *(abs(left[step] - right[step]) for step in left)])
    return largest


def latest_metrics(client: MlflowClient, run_id: str) -> dict[str, float]:
    """Read every metric of a run at its last step."""
    return dict(client.get_run(run_id).data.metrics)
