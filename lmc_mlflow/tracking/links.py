"""Addresses of runs and experiments in the MLflow UI."""

from urllib.parse import urlparse

from lmc_mlflow.errors import without_secrets
from lmc_mlflow.tracking.connection.address import tracking_uri as tracking_uri
from lmc_mlflow.tracking.view import VIEW_KEY

LOCAL_UI = "http://127.0.0.1:5000"


def run_link(uri: str, experiment_id: str, run_id: str) -> str:
    """Return the address of a run in the UI of the server, or of a local `mlflow ui` on its usual port."""
    return f"{_base(uri)}/#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"


def view_link(uri: str, experiment_id: str) -> str:
    """Return the address of an experiment's runs table with the saved view of this project."""
    query = f"viewStateShareKey={VIEW_KEY}&workflowType=machine_learning"
    return f"{_base(uri)}/#/experiments/{experiment_id}/runs?{query}"


def ui_command(uri: str) -> str | None:
    """Return the command that shows a local store, or None where the store is a server with a UI."""
    if urlparse(uri).scheme in ("http", "https"):
        return None
    return f"mlflow ui --backend-store-uri {without_secrets(uri)}"


def without_login(uri: str) -> str:
    """Leave the user and the password out of the address of a server."""
    parts = urlparse(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _base(uri: str) -> str:
    return without_login(uri).rstrip("/") if urlparse(uri).scheme in ("http", "https") else LOCAL_UI
