"""Asks a tracking server or a database for an answer within seconds, where MLflow itself would try for minutes."""

from collections.abc import Mapping
from urllib.parse import urlparse

import requests
import sqlalchemy
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from sqlalchemy.exc import SQLAlchemyError

from lmc_mlflow.errors import first_line
from lmc_mlflow.tracking.connection.client import PROBE_SECONDS, StoreError

WAYS_OUT = {
    "SSLError": "give its certificate as MLFLOW_TRACKING_SERVER_CERT_PATH, or set MLFLOW_TRACKING_INSECURE_TLS=true",
    "ProxyError": "correct HTTP_PROXY and HTTPS_PROXY, or name the server in NO_PROXY",
}
"""Error of requests -> what to do about it."""
UNKNOWN, FORBIDDEN = 401, 403
"""HTTP status: the server does not know the user, or does not allow this."""
LOGIN = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
CONNECT_OPTIONS: Mapping[str, Mapping[str, int]] = {
    "postgresql": {"connect_timeout": PROBE_SECONDS},
    "mysql": {"connect_timeout": PROBE_SECONDS},
    "mssql": {},
}
"""Database on a network -> options of its drivers."""


def probe(uri: str) -> None:
    """Ask for an answer, by the settings of MLflow's own client: certificates, user, password, token and proxies.

    Raises:
        StoreError: no answer, no entry, or no driver for the database.
    """
    scheme = urlparse(uri).scheme
    if scheme in ("http", "https"):
        _ask_server(uri)
    elif scheme.partition("+")[0] in CONNECT_OPTIONS:
        _ask_database(uri, CONNECT_OPTIONS[scheme.partition("+")[0]])


def _ask_server(uri: str) -> None:
    options = {"max_retries": 0, "timeout": PROBE_SECONDS, "raise_on_status": False}
    try:
        credentials = get_default_host_creds(uri.rstrip("/"))  # type: ignore[no-untyped-call]
        http_request(credentials, "/health", "GET", **options).raise_for_status()  # type: ignore[no-untyped-call]
    except (MlflowException, requests.RequestException) as error:
        name = _name(error)
        if isinstance(error, requests.HTTPError) and error.response.status_code in (UNKNOWN, FORBIDDEN):
            raise StoreError(f"the tracking server at {uri} does not let you in; {LOGIN}") from None
        way_out = WAYS_OUT.get(name, "start one or correct MLFLOW_TRACKING_URI")
        raise StoreError(f"no tracking server answers at {uri} ({name}); {way_out}") from None


def _name(error: BaseException) -> str:
    """Name the error of requests that MLflow's client has put into one of its own."""
    inner = error.__cause__ or error.__context__
    found = inner if isinstance(inner, requests.RequestException) else error
    is_late = isinstance(found, requests.ConnectionError) and "Read timed out" in str(found)
    return requests.ReadTimeout.__name__ if is_late else type(found).__name__


def http_status(error: MlflowException) -> int:
    """Return the HTTP status that an error of MLflow stands for."""
    return int(error.get_http_status_code())  # type: ignore[no-untyped-call]


def _ask_database(uri: str, options: Mapping[str, int]) -> None:
    try:
        engine = sqlalchemy.create_engine(uri, connect_args=dict(options))
        engine.connect().close()
        engine.dispose()
    except ImportError as error:
        raise StoreError(
            f"database {uri} needs a driver that is not installed ({error}); "
            "pip install '.[server]' and write postgresql+psycopg2://, or pip install pymysql and write mysql+pymysql://"
        ) from None
    except SQLAlchemyError as error:
        raise StoreError(f"database {uri} cannot be used ({first_line(error)}); check MLFLOW_TRACKING_URI") from None
