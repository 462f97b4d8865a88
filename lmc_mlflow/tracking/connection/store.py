"""Opens the tracking server and the experiment, and checks within seconds that both can be written to."""

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from lmc_mlflow.contract import FINISHED, LAUNCHER_RUN, Kind, Tag, where
from lmc_mlflow.errors import first_line
from lmc_mlflow.tracking.connection.address import address, tracking_uri
from lmc_mlflow.tracking.connection.client import StoreError as StoreError
from lmc_mlflow.tracking.connection.client import client_of, impatient_client
from lmc_mlflow.tracking.connection.probe import FORBIDDEN, LOGIN, UNKNOWN, http_status, probe

DEFAULT_EXPERIMENT = "0"
"""Id of MLflow's own first experiment."""


@dataclass(frozen=True)
class Store:
    """An open tracking server and the experiment that new runs go to.

    Attributes:
        earlier_id: another experiment, to which earlier versions logged such runs; empty: none.
    """

    client: MlflowClient
    uri: str
    experiment_id: str
    earlier_id: str = ""

    @property
    def searched(self) -> list[str]:
        """Give the experiments in which an earlier run of the same identity may be."""
        return [self.experiment_id, *([self.earlier_id] if self.earlier_id else [])]


def open_store(experiment_id: str | None = None) -> Store:
    """Connect to the server that MLflow's own settings name, and check that it can be written to.

    The server is `MLFLOW_TRACKING_URI` (MLflow's default is `sqlite:///mlflow.db` in the working
    directory); the experiment is `MLFLOW_EXPERIMENT_ID`, `MLFLOW_EXPERIMENT_NAME` (created if there
    is none), or else `experiment_id`, or else MLflow's default experiment.

    Raises:
        StoreError: no server there, no such experiment, or an artifact location that cannot be written.
    """
    uri = tracking_uri()
    probe(uri)
    with impatient_client():
        try:
            client = client_of(uri)
            experiment = _experiment(client, experiment_id)
            _check_artifacts(uri, experiment)
        except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
            if isinstance(error, MlflowException) and http_status(error) in (UNKNOWN, FORBIDDEN):
                raise StoreError(
                    f"the tracking server at {uri} does not let you in ({first_line(error)}); {LOGIN}"
                ) from None
            raise StoreError(
                f"tracking store {uri} cannot be used ({first_line(error)}); check MLFLOW_TRACKING_URI"
            ) from None
    return Store(client, uri, experiment.experiment_id)


def beside(store: Store, experiment_id: str) -> Store:
    """Give the store whose new runs go to the experiment of the runs they are computed from.

    An experiment that the user has chosen stays.

    Raises:
        StoreError: artifacts of that experiment cannot be written.
    """
    if experiment_id == store.experiment_id or _is_chosen():
        return store
    _check_artifacts(store.uri, store.client.get_experiment(experiment_id))
    return replace(store, experiment_id=experiment_id, earlier_id=store.experiment_id)


def _settings() -> tuple[str | None, str | None]:
    """Give the id and the name of the experiment that the user has chosen; a name given in Python goes first."""
    here = address()
    if here.experiment is not None:
        return None, here.experiment
    if here.is_elsewhere:  # an id of the settings is that of another store
        return None, None
    return os.environ.get("MLFLOW_EXPERIMENT_ID"), os.environ.get("MLFLOW_EXPERIMENT_NAME")


def _is_chosen() -> bool:
    """Tell whether the user has named an experiment; `mlflow run` names MLflow's first where the user has not."""
    chosen, name = _settings()
    by_launcher = bool(os.environ.get(LAUNCHER_RUN)) and chosen == DEFAULT_EXPERIMENT
    return bool(name) or (bool(chosen) and not by_launcher)


def _experiment(client: MlflowClient, experiment_id: str | None) -> Experiment:
    chosen, name = _settings()
    if chosen is None and name is not None:
        chosen = _experiment_id(client, name)
    try:
        experiment = client.get_experiment(chosen or experiment_id or DEFAULT_EXPERIMENT)
    except MlflowException as error:
        if not chosen or http_status(error) not in (400, 404):
            raise
        raise StoreError(
            f"MLFLOW_EXPERIMENT_ID={chosen} names no experiment of this store; correct it, or unset it and set "
            "MLFLOW_EXPERIMENT_NAME, by which an experiment is made where there is none"
        ) from None
    if experiment.lifecycle_stage != "active":
        raise StoreError(
            f"experiment {experiment.name!r} is deleted; restore it or set MLFLOW_EXPERIMENT_NAME to another name"
        )
    return experiment


def _experiment_id(client: MlflowClient, name: str) -> str:
    """Give the id of the experiment of a name; it is created where there is none."""
    found = client.get_experiment_by_name(name)
    try:
        return str(found.experiment_id if found else client.create_experiment(name))
    except MlflowException as error:
        found = client.get_experiment_by_name(name)
        if error.error_code != "RESOURCE_ALREADY_EXISTS" or found is None:
            raise
        return str(found.experiment_id)  # another process has just created it


def _has_results(client: MlflowClient, experiment: Experiment) -> bool:
    """Tell whether an experiment has trained networks whose artifacts were written there."""
    found = client.search_runs(
        [experiment.experiment_id], f"{where(kind=Kind.ENDPOINT)} and {FINISHED}", max_results=100
    )
    return any(
        run.data.metrics
        and Tag.LEFT_OUT not in run.data.tags
        and run.info.artifact_uri.startswith(experiment.artifact_location)
        for run in found
    )


def _check_artifacts(uri: str, experiment: Experiment) -> None:
    location = urlparse(experiment.artifact_location)
    if location.scheme == "mlflow-artifacts" and urlparse(uri).scheme not in ("http", "https"):
        raise StoreError(
            f"experiment {experiment.name!r} was made by a server, which alone can store its artifacts: "
            "start `mlflow server` and set MLFLOW_TRACKING_URI to it, or choose another name with "
            "MLFLOW_EXPERIMENT_NAME "
            "(`mlflow run --experiment-name`)"
        )
    if location.scheme in ("", "file"):
        folder = Path(url2pathname(location.path) if location.scheme else experiment.artifact_location)
        if not folder.exists() and _has_results(client_of(uri), experiment):
            raise StoreError(
                f"artifacts of experiment {experiment.name!r} belong in {folder}, which is not there, although it has "
                "runs: if that folder was moved, move or link it back; make it (mkdir) to go on without them"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(b"probe")
        except OSError as error:
            raise StoreError(
                f"artifacts of experiment {experiment.name!r} cannot be written ({error}); make that folder writable "
                "or choose another experiment with MLFLOW_EXPERIMENT_NAME"
            ) from None
