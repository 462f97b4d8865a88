"""Where does a person look at a run?"""

from urllib.parse import urlparse

import mlflow

from lmc_mlflow.tracking.view import VIEW_KEY

LOCAL_UI = "http://127.0.0.1:5000"


def tracking_uri() -> str:
    """The server that MLflow's own settings name."""
    return str(mlflow.get_tracking_uri())


def run_link(uri: str, experiment_id: str, run_id: str) -> str:
    """The address of a run in the UI (of the server, or of a local `mlflow ui` on its usual port)."""
    return f"{_base(uri)}/#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"


def view_link(uri: str, experiment_id: str) -> str:
    """The address of the experiment's runs table with our columns."""
    query = f"viewStateShareKey={VIEW_KEY}&workflowType=machine_learning"
    return f"{_base(uri)}/#/experiments/{experiment_id}/runs?{query}"


def ui_command(uri: str) -> str | None:
    """The command that shows a local store, or None where a server already does."""
    if urlparse(uri).scheme in ("http", "https"):
        return None
    return f"mlflow ui --backend-store-uri {uri}"


def _base(uri: str) -> str:
    return uri.rstrip("/") if urlparse(uri).scheme in ("http", "https") else LOCAL_UI
