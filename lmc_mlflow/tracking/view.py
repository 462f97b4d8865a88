"""Saves a view of the runs table with the experiment: the columns that the UI shows first."""

import json
from typing import Any

from mlflow.exceptions import MlflowException

from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.tracking.store import Store

VIEW_KEY = "lmc_v1"
VIEW_NAME = "pairs, paths and ensembles"
_TAG = f"mlflow.sharedViewState.{VIEW_KEY}"
_WIDTHS = {
    f"tags.`{Tag.SHIFT}`": 95,
    f"tags.`{Tag.MODEL}`": 145,
    f"tags.`{Tag.SEED}`": 65,
    f"tags.`{Tag.NOISE}`": 75,
    f"tags.`{Tag.CONNECTED}`": 100,
    "metrics.`test/accuracy`": 100,
    "metrics.`test/barrier`": 95,
    "metrics.`test/accuracy_delta`": 130,
}


def view_text() -> str:
    """Return the saved view as MLflow's UI writes it (undocumented; seen with MLflow 3.17).

    Sorted by kind and not by time, because the UI nests runs sorted by time under their parents and
    a view cannot unfold nested runs.
    """
    columns = list(_WIDTHS)
    state: dict[str, Any] = {
        "searchFilter": f"tags.`{Tag.KIND}` != '{Kind.ENDPOINT}'",
        "orderByKey": f"tags.`{Tag.KIND}`",
        "orderByAsc": False,
        "selectedColumns": columns,
        "columnOrder": ["attributes.`Run Name`", "runDateAndNestInfo", *columns, "duration"],
        "columnWidths": {**_WIDTHS, "attributes.`Run Name`": 330},
    }
    return json.dumps({"name": VIEW_NAME, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})


def offer_view(store: Store, experiment_id: str) -> None:
    """Save the view with an experiment, unless it has one (a user may have changed it)."""
    if _has_view(store, experiment_id):
        return
    try:
        store.client.set_experiment_tag(experiment_id, _TAG, view_text())
    except MlflowException:  # a database refuses the second of two processes that write it at once
        if not _has_view(store, experiment_id):
            raise


def _has_view(store: Store, experiment_id: str) -> bool:
    return _TAG in store.client.get_experiment(experiment_id).tags
