"""Opens the database behind the tracking store for an import."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import sqlalchemy
from mlflow.entities import Experiment, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import delete, exists
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from lmc_mlflow.bundles.artifact_locations import ArtifactLocation, location_behind_server
from lmc_mlflow.errors import first_line
from lmc_mlflow.tracking.connection.client import client_of
from lmc_mlflow.tracking.connection.new_database import sole_maker
from lmc_mlflow.tracking.connection.store import Store, StoreError

LOCAL_ROOT = "./mlruns"
SERVER_ROOT = "mlflow-artifacts:/"
DEFAULT_ID = "0"
DEFAULT_NAME = "Default"


@dataclass(frozen=True)
class Database:
    """An open store that runs can be imported to.

    Attributes:
        store: MLflow's own, for experiments and its engine.
        tracking: the same store, for what its client can do.
        destination: folder of the artifacts that a server stores, if one does.
    """

    store: Any
    tracking: Store
    destination: Path | None

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a session in which SQLite checks foreign keys and waits for other writers, as MLflow's own does."""
        with Session(self.store.engine) as session:
            if self.store.engine.dialect.name == "sqlite":
                session.connection().exec_driver_sql("PRAGMA busy_timeout = 20000")
                session.connection().exec_driver_sql("PRAGMA foreign_keys = ON")
                session.rollback()
            yield session

    def artifact_location(self, uri: str) -> ArtifactLocation:
        """Find the location of a run's artifacts."""
        return location_behind_server(uri, self.destination)

    def experiment(self, name: str) -> Experiment | None:
        """Look up an experiment by its name, if there is one; `Default` is experiment 0 whatever its name is here.

        Raises:
            ValueError: it is deleted.
        """
        found: Experiment | None = self.store.get_experiment_by_name(name)
        if found is None and name == DEFAULT_NAME:
            found = self.store.get_experiment(DEFAULT_ID)
        if found is not None and found.lifecycle_stage != "active":
            raise ValueError(f"experiment {name!r} is deleted in this store; restore it (mlflow experiments restore)")
        return found

    @contextmanager
    def adding_experiment(self, name: str) -> Iterator[Experiment]:
        """Make an experiment, with its artifacts where this store keeps those of new experiments.

        An error in the block takes it away again, unless somebody has logged to it.
        """
        made: Experiment = self.store.get_experiment(self.store.create_experiment(name))
        try:
            yield made
        except Exception:
            made_id = int(made.experiment_id)
            unused = ~exists().where(SqlRun.experiment_id == made_id)
            with self.session() as session, session.begin():
                session.execute(delete(SqlExperiment).where(SqlExperiment.experiment_id == made_id, unused))
            raise


def is_server(uri: str) -> bool:
    """Return whether a tracking URI names a server, not a database."""
    return urlparse(uri).scheme in ("http", "https")


def open_database(uri: str, destination: str) -> Database:
    """Open the database that a tracking URI names.

    Args:
        uri: tracking URI.
        destination: folder of the artifacts that a server stores; empty: no server does.

    Raises:
        ValueError: the URI names a server, which does not let ids be chosen, or there is no such folder.
        StoreError: the database cannot be reached.
    """
    if is_server(uri):
        raise ValueError(
            f"MLFLOW_TRACKING_URI={uri} is a server, through which run ids cannot be kept: set it to the database "
            "behind the server (its --backend-store-uri) and give artifacts=<its --artifacts-destination folder>"
        )
    folder = Path(destination) if destination else None
    if folder is not None and not folder.is_dir():
        raise ValueError(f"artifacts={destination}: there is no such folder; give the server's --artifacts-destination")
    try:
        shown = sqlalchemy.make_url(uri).render_as_string(hide_password=True)
    except SQLAlchemyError:
        raise ValueError("MLFLOW_TRACKING_URI names no database, as in sqlite:////<folder>/mlflow.db") from None
    try:
        if not uri.startswith("sqlite"):  # at once, where MLflow itself would try for minutes
            sqlalchemy.create_engine(uri).connect().close()
        with sole_maker(uri):
            store: Any = SqlAlchemyStore(uri, LOCAL_ROOT if folder is None else SERVER_ROOT)  # type: ignore[no-untyped-call]
        store.search_experiments(view_type=ViewType.ALL, max_results=1)
    except ImportError as error:
        raise StoreError(f"database {shown} cannot be used ({error}); pip install '.[server]'") from None
    except (SQLAlchemyError, MlflowException, OSError) as error:
        reason = first_line(error)
        raise StoreError(f"database {shown} cannot be used ({reason}); check MLFLOW_TRACKING_URI") from None
    return Database(store, Store(client_of(uri), uri, DEFAULT_ID), folder)
