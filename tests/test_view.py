"""The saved view of the UI shows the most useful columns and keeps what a user has changed."""

import hashlib
import json
from contextlib import nullcontext

import pytest
from conftest import QUICK
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from entry_points.train_pair import main
from lmc_mlflow.tracking import view
from lmc_mlflow.tracking.connection.store import open_store
from lmc_mlflow.tracking.links import run_link, ui_command, view_link
from lmc_mlflow.tracking.view import VIEW_KEY, offer_view, view_text

TAG = f"mlflow.sharedViewState.{VIEW_KEY}"


def test_the_view_shows_the_columns_that_matter_and_fits_the_ui_s_limit() -> None:
    state = json.loads(json.loads(view_text())["state"])
    assert state["columnOrder"] == [
        "attributes.`Run Name`",
        "runDateAndNestInfo",
        "tags.`lmc.connected`",
        "metrics.`test/barrier`",
        "metrics.`test/accuracy_delta`",
        "metrics.`test/accuracy`",
        "tags.`lmc.kind`",
        "metrics.`headline`",
        "duration",
    ]
    assert state["searchFilter"] == "tags.`lmc.kind` != 'endpoint'"
    assert len(view_text()) < 20000


def test_the_view_is_offered_once_and_a_user_s_own_is_left_alone(store: MlflowClient) -> None:
    assert main(QUICK) == 0
    assert store.get_experiment("0").tags[TAG] == view_text()
    store.set_experiment_tag("0", TAG, "mine")
    assert main([*QUICK, "--force=true"]) == 0
    assert store.get_experiment("0").tags[TAG] == "mine"


def test_the_view_of_an_earlier_version_is_replaced(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "EARLIER_VIEWS", {hashlib.sha256(b"an earlier version's").hexdigest()[:16]})
    store.set_experiment_tag("0", TAG, "an earlier version's")
    offer_view(open_store(), "0")
    assert store.get_experiment("0").tags[TAG] == view_text()


def test_a_process_that_comes_second_with_the_view_is_not_stopped_by_a_database_that_refuses_it(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: MlflowClient, experiment_id: str, key: str, value: str) -> None:
        if first:
            monkeypatch.undo()
            store.set_experiment_tag(experiment_id, key, "the first one's")
        raise MlflowException("duplicate key value violates unique constraint")

    ours = open_store()
    for first in (False, True):
        monkeypatch.setattr(MlflowClient, "set_experiment_tag", refuse)
        with nullcontext() if first else pytest.raises(MlflowException, match="duplicate key"):
            offer_view(ours, "0")
    assert store.get_experiment("0").tags[TAG] == "the first one's"


def test_links_lead_to_the_server_or_to_a_local_ui() -> None:
    assert (
        run_link("http://host:1/", "7", "abc") == "http://host:1/#/experiments/7/runs/abc?workflowType=machine_learning"
    )
    assert view_link("sqlite:///x.db", "0").startswith("http://127.0.0.1:5000/#/experiments/0/runs?viewStateShareKey=")
    assert ui_command("http://host:1") is None
    assert ui_command("sqlite:///x.db") == "mlflow ui --backend-store-uri sqlite:///x.db"
