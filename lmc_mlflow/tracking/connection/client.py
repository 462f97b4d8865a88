"""The client of a tracking store: waits where the store fails for a while, and does each request whole."""

import errno
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, TypeVar
from urllib.parse import urlparse

import requests
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from lmc_mlflow.errors import first_line
from lmc_mlflow.tracking.connection.new_database import sole_maker
from lmc_mlflow.tracking.processes.signals import signals_wait

logger = logging.getLogger(__name__)
STORE_FAILURES = (MlflowException, SQLAlchemyError)
"""Errors that MLflow raises when a store fails."""
WRITE_FAILURES = (*STORE_FAILURES, OSError)
PROBE_SECONDS = 5
WAIT_SECONDS = 600.0
"""How long a command waits for a store that fails, before it gives up."""
TELL_SECONDS = 60.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 15.0
LOCKED = ("database is locked", "database table is locked")
FULL = ("No space left on device", "database or disk is full", "Disk quota exceeded")
SERVER_CODES = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED")
T = TypeVar("T")
_IMPATIENT: ContextVar[bool] = ContextVar("impatient", default=False)


class StoreError(RuntimeError):
    """The tracking server or its artifact location cannot be used; the message says what to do."""


def passing_failure(error: BaseException, uri: str) -> str:
    """Say what is the matter with a store, if that may pass by itself; otherwise give an empty text."""
    scheme = urlparse(uri).scheme
    text = str(error)
    if any(words in text for words in FULL) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space"
    if scheme == "sqlite":
        return "another process has locked the database" if any(words in text for words in LOCKED) else ""
    answer = getattr(error, "response", None)
    if isinstance(error, requests.RequestException) and (answer is None or answer.status_code >= 500):
        return "the server does not answer"
    if isinstance(error, MlflowException) and error.error_code in SERVER_CODES:
        return "the server does not answer" if scheme in ("http", "https") else "the database does not answer"
    return ""


class PatientClient(MlflowClient):
    """A client whose requests are repeated while the store fails for a reason that may pass.

    Requests to a database are also done completely before a signal raises: an exception in the midst of a commit, or
    of a read, leaves the database locked by this very process, which could then not end its runs.
    """

    def __init__(self, uri: str) -> None:
        """Make the client of the store at a URI."""
        self._uri = uri
        self._hold = nullcontext if urlparse(uri).scheme in ("http", "https") else signals_wait
        super().__init__(tracking_uri=uri, registry_uri=uri)

    def __getattribute__(self, name: str) -> Any:
        """Return an attribute; the public methods wait and delay signals."""
        found = super().__getattribute__(name)
        if name.startswith("_") or not callable(found):
            return found

        @wraps(found)
        def patient(*args: Any, **kwargs: Any) -> Any:
            return self._repeat(partial(found, *args, **kwargs))

        return patient

    def create_run(
        self,
        experiment_id: str,
        start_time: int | None = None,
        tags: Mapping[str, Any] | None = None,
        run_name: str | None = None,
    ) -> Run:
        """Create a run; where an answer was lost, look first for the run that the server has made."""
        started = time.time_ns() // 1_000_000 if start_time is None else start_time
        is_first = True

        def create() -> Run:
            nonlocal is_first
            if not is_first:
                for run in MlflowClient.search_runs(self, [experiment_id], f"attributes.start_time = {started}"):
                    if (tags or {}).items() <= run.data.tags.items():
                        return run
            is_first = False
            with http_settings(MLFLOW_HTTP_REQUEST_MAX_RETRIES="0"):  # MLflow would create another one
                return MlflowClient.create_run(self, experiment_id, started, dict(tags or {}), run_name)

        return self._repeat(create)

    def _repeat(self, request: Callable[[], T]) -> T:
        began = told = time.monotonic()
        pause = FIRST_PAUSE
        while True:
            try:
                with self._hold():
                    return request()
            except WRITE_FAILURES as error:
                matter, now = passing_failure(error, self._uri), time.monotonic()
                if not matter or _IMPATIENT.get():
                    raise
                if now - began > WAIT_SECONDS:
                    raise StoreError(
                        f"{matter} ({first_line(error)[:200]}), for {WAIT_SECONDS / 60:.0f} minutes; put that right "
                        "and give the same command again: it goes on from the progress that was saved"
                    ) from None
                if pause == FIRST_PAUSE or now - told > TELL_SECONDS:
                    left = (WAIT_SECONDS - (now - began)) / 60
                    logger.warning("%s (%s); waiting, for %.0f minutes more", matter, first_line(error)[:200], left)
                    told = now
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def client_of(uri: str) -> MlflowClient:
    """Make the client through which runs of the store at a URI are read and written."""
    with sole_maker(uri):
        return PatientClient(uri)


@contextmanager
def http_settings(**settings: str) -> Iterator[None]:
    """Change settings of MLflow's requests within the block, which MLflow reads from the environment alone."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def without_waiting() -> Iterator[None]:
    """Let a request of this thread fail within the block where it would wait for the store."""
    token = _IMPATIENT.set(True)
    try:
        yield
    finally:
        _IMPATIENT.reset(token)


@contextmanager
def impatient_client() -> Iterator[None]:
    """Make a failing request fail at once within the block, instead of after minutes of retries."""
    timeout = str(2 * PROBE_SECONDS)
    with without_waiting(), http_settings(MLFLOW_HTTP_REQUEST_MAX_RETRIES="1", MLFLOW_HTTP_REQUEST_TIMEOUT=timeout):
        yield
