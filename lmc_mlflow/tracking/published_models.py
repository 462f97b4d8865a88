"""Writes networks to the store as MLflow models that load without this project, and registers them."""

import importlib.metadata
import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from torch import Tensor, nn

from lmc_mlflow.contract import Tag, where_tags
from lmc_mlflow.errors import first_line
from lmc_mlflow.tracking.connection.client import STORE_FAILURES
from lmc_mlflow.tracking.downloads import without_progress_bars
from lmc_mlflow.tracking.processes.process import is_alive, process_tags

MODEL_FILE, EXPORTED_FILE = "MLmodel", "data/model.pt2"
PYFUNC = "python_function"
TOLERANCE = 1e-4
"""Largest difference between the outputs of a network and of its exported copy, over the largest output."""
PAGE = 100
TALKATIVE = "torch.fx.experimental.symbolic_shapes"
"""Logger that writes a page about a network that cannot be traced."""


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


def export_network(network: nn.Module, example: Tensor, metadata: Mapping[str, Any], folder: Path) -> Model:
    """Write a network to a folder as an MLflow model in PyTorch's exported format, and try out what was written.

    Args:
        network: on the CPU, in evaluation mode.
        example: inputs (n, ...) of it, n at least 2.
        metadata: as in `ModelCard`.
        folder: that is made.

    Raises:
        ValueError: PyTorch cannot export the network for any number of images, or MLflow is too old.
    """
    import mlflow.pytorch

    if "serialization_format" not in inspect.signature(mlflow.pytorch.save_model).parameters:
        raise ValueError("this version of MLflow cannot write PyTorch's exported format; pip install -U mlflow")
    with torch.no_grad():
        outputs = network(example)
    inputs = TensorSpec(np.dtype("float32"), (-1, *example.shape[1:]))
    signature = ModelSignature(Schema([inputs]), Schema([TensorSpec(np.dtype("float32"), (-1, *outputs.shape[1:]))]))
    model = Model(metadata=dict(metadata))
    with _silence():
        try:
            mlflow.pytorch.save_model(
                network,
                str(folder),
                mlflow_model=model,
                signature=signature,
                input_example=example.numpy(),
                pip_requirements=[f"{name}=={_public_version(name)}" for name in ("mlflow", "torch")],
                serialization_format="pt2",
            )
        except (*STORE_FAILURES, OSError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 (it may be a user's network, in which anything may fail)
            raise ValueError(
                f"PyTorch cannot export it ({first_line(error)}); rewrite what torch.export refuses"
            ) from None
        _try_out(torch.export.load(folder / EXPORTED_FILE).module(), network, example)
    return model


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what PyTorch warns of a trace from the terminal; an error of a trace says the same in one line."""
    logger = logging.getLogger(TALKATIVE)
    logger.addFilter(_refuse)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeFilter(_refuse)


def _refuse(_: logging.LogRecord) -> bool:
    return False


def _public_version(package: str) -> str:
    """Give an installed version without what only this machine's build has (`+cu130`)."""
    return importlib.metadata.version(package).partition("+")[0]


@torch.no_grad()
def _try_out(exported: nn.Module, network: nn.Module, example: Tensor) -> None:
    """Compare the exported copy with the network on one image, and on more than it was traced with.

    Raises:
        ValueError: it takes no such number of images, or gives other outputs.
    """
    for images in (example[:1], example, torch.cat([example] * 3)[:-1]):
        wanted = network(images)
        try:
            found = exported(images)
        except Exception as error:  # noqa: BLE001 (the guards of a trace may raise anything)
            raise ValueError(
                f"PyTorch exports it for {len(example)} images at a time, not for {len(images)} "
                f"({first_line(error)}); write no number of images into its code"
            ) from None
        if not torch.allclose(found, wanted, rtol=0.0, atol=TOLERANCE * float(wanted.abs().max()), equal_nan=True):
            raise ValueError("its exported copy gives other outputs; let its code draw nothing and keep no state")


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
