"""Keeps published models in the store: finds, uploads, links and registers them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from lmc_mlflow.contract import Tag, where_tags
from lmc_mlflow.tracking.downloads import without_progress_bars
from lmc_mlflow.tracking.processes.process import is_alive, process_tags

MODEL_FILE = "MLmodel"
PYFUNC = "python_function"
PAGE = 100


@dataclass(frozen=True)
class ModelCard:
    """What is logged of a model besides its network.

    Attributes:
        name: of the model, which need not be unique.
        key: tells it from all other models of its run.
        tags: for searches.
        params: that the UI shows.
        metadata: what a user of the model has to know; stands in its file `MLmodel`.
    """

    name: str
    key: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class PublishedModel:
    """A model in the store.

    Attributes:
        model_id: its id.
        run_id: the run that it came from.
        place: of its files.
    """

    model_id: str
    run_id: str
    place: str

    @property
    def uri(self) -> str:
        """Address by which MLflow loads it."""
        return f"models:/{self.model_id}"


def find_model(client: MlflowClient, experiment_id: str, run_id: str, key: str) -> PublishedModel | None:
    """Find the first model of a run with this key; one that a killed process has left half written is deleted."""
    found: list[LoggedModel] = []
    token: str | None = None
    while True:
        page = client.search_logged_models(
            [experiment_id], where_tags({Tag.PUBLICATION: key}), max_results=PAGE, page_token=token
        )
        found += [model for model in page if model.source_run_id == run_id]
        token = page.token
        if not token:
            break
    for model in found:
        if model.status == LoggedModelStatus.PENDING and not is_alive(model.tags):
            client.delete_logged_model(model.model_id)
    ready = [model for model in found if model.status == LoggedModelStatus.READY]
    first = min(ready, key=lambda model: int(model.creation_timestamp), default=None)
    return None if first is None else _published(first)


def _published(model: LoggedModel) -> PublishedModel:
    return PublishedModel(str(model.model_id), str(model.source_run_id), str(model.artifact_location))


def write_model(client: MlflowClient, run_id: str, card: ModelCard, model: Model, folder: Path) -> PublishedModel:
    """Upload an exported network as a model of a finished run, which stays finished; if that fails, delete the model.

    Args:
        client: of the server.
        run_id: the run that it came from.
        card: what is logged besides.
        model: from `export_network`.
        folder: it was written to.
    """
    experiment_id = client.get_run(run_id).info.experiment_id
    tags = {**card.tags, Tag.PUBLICATION: card.key, **process_tags()}
    logged = client.create_logged_model(experiment_id, card.name, run_id, tags, dict(card.params))
    try:
        model.artifact_path, model.run_id = logged.artifact_location, run_id
        model.model_id = model.model_uuid = logged.model_id
        model.flavors[PYFUNC]["config"] = {"device": "cpu"}  # where its weights are; MLflow takes a GPU, and fails
        model.save(str(folder / MODEL_FILE))
        with without_progress_bars():
            client.log_model_artifacts(logged.model_id, str(folder))
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
        return _published(client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY))
    except BaseException:
        client.delete_logged_model(logged.model_id)
        raise


def link_metrics(client: MlflowClient, run_id: str, model_id: str, names: Sequence[str], step: int | None) -> None:
    """Show metrics of a run with its model too: the points that the run has, at a step or the last; none is added."""
    points = []
    known = client.get_run(run_id).data.metrics
    for name in filter(known.__contains__, names):
        history = [point for point in client.get_metric_history(run_id, name) if step is None or point.step == step]
        last = max(history, key=lambda point: (point.step, point.timestamp), default=None)
        if last is not None:
            points.append(Metric(name, last.value, last.timestamp, last.step, model_id=model_id, run_id=run_id))
    if points:
        client.log_batch(run_id, metrics=points)


def register(client: MlflowClient, model: PublishedModel, name: str) -> str:
    """Register a model under a name, which is made where there is none, and return its version.

    A model that is a version of that name already stays the version that it is.

    Args:
        client: of the server.
        model: that is registered.
        name: of letters, digits, spaces, `_`, `-` and `.`.
    """
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.source in (model.place, model.uri):
            return str(version.version)
    # by its place: MLflow looks `models:/` up in the store of the process, which may be another
    made = client.create_model_version(name, model.place, run_id=model.run_id, model_id=model.model_id)
    return str(made.version)
