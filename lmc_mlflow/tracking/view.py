"""Saves a view of the runs table with the experiment: the columns that the UI shows first."""

import hashlib
import json
from typing import Any

from mlflow.exceptions import MlflowException

from lmc_mlflow.contract import HEADLINE, Kind, Tag
from lmc_mlflow.tracking.connection.probe import FORBIDDEN, http_status
from lmc_mlflow.tracking.connection.store import Store

VIEW_KEY = "lmc_v1"
VIEW_NAME = "pairs, paths and ensembles"
_TAG = f"mlflow.sharedViewState.{VIEW_KEY}"
_WIDTHS = {
    f"tags.`{Tag.CONNECTED}`": 90,
    "metrics.`test/barrier`": 75,
    "metrics.`test/accuracy_delta`": 80,
    "metrics.`test/accuracy`": 75,
    f"tags.`{Tag.KIND}`": 70,
    f"metrics.`{HEADLINE}`": 80,
}
"""Widths in pixels: a new browser of 1,280 pixels, with a panel open at its side, has room for 620."""
EARLIER_VIEWS = frozenset(["0a187665b59935f8"])
"""Digests of the views that earlier versions saved; one of them is no change of a user's."""


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
        "columnWidths": {"attributes.`Run Name`": 190, "runDateAndNestInfo": 40, **_WIDTHS},
    }
    return json.dumps({"name": VIEW_NAME, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})


def offer_view(store: Store, experiment_id: str) -> None:
    """Save the view with an experiment, unless it has one that a user has changed."""
    if _has_view(store, experiment_id):
        return
    try:
        store.client.set_experiment_tag(experiment_id, _TAG, view_text())
    except MlflowException as error:
        if http_status(error) == FORBIDDEN:
            return  # the experiment is another's; whether runs may be written there is told when one is opened
        if not _has_view(store, experiment_id):  # a database refuses the second of two processes that write it at once
            raise


def _has_view(store: Store, experiment_id: str) -> bool:
    """Tell whether an experiment has a view that is not an earlier version's."""
    text = store.client.get_experiment(experiment_id).tags.get(_TAG)
    return text is not None and hashlib.sha256(text.encode()).hexdigest()[:16] not in EARLIER_VIEWS
