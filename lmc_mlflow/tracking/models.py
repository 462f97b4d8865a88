"""Finds models that anybody has logged in MLflow by their URIs, and downloads them without loading them."""

import re
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException

from lmc_mlflow.errors import first_line
from lmc_mlflow.tracking.downloads import without_progress_bars

_MODEL_ID = re.compile(r"models:/(m-[0-9a-zA-Z]+)")
_REGISTERED = re.compile(r"models:/([^/@\n]+)(?:/([^/@\n]+)|@([^/@\n]+))")
_OF_RUN = re.compile(r"runs:/([0-9a-zA-Z]+)/(.+?)/?")
FORMS = "models:/m-..., models:/<name>/<version>, models:/<name>@<alias> or runs:/<run id>/<path>"
LATEST = "latest"


@dataclass(frozen=True)
class FoundModel:
    """What a URI names.

    Attributes:
        uri: as it was given.
        location: URI of the folder, or file, of artifacts.
        model_id: of the logged model; empty: it is a plain artifact.
        run_id: of the run that has logged it; empty: none has.
    """

    uri: str
    location: str
    model_id: str = ""
    run_id: str = ""


def find_model(client: MlflowClient, uri: str) -> FoundModel:
    """Find what a URI names, and check that the run that has logged it is finished.

    Raises:
        ValueError: the URI has another form, names nothing, or something that is deleted or not finished.
    """
    try:
        found = _find(client, uri.rstrip("/"), uri)
    except MlflowException as error:
        raise ValueError(
            f"{uri}: {first_line(error).rstrip('.')}; look it up in the UI, and check that "
            "MLFLOW_TRACKING_URI names the store of the model"
        ) from None
    if found.run_id:
        _check_run(client, found)
    return found


def _find(client: MlflowClient, uri: str, given: str) -> FoundModel:
    by_id, registered, of_run = _MODEL_ID.fullmatch(uri), _REGISTERED.fullmatch(uri), _OF_RUN.fullmatch(uri)
    if by_id:
        model = client.get_logged_model(by_id[1])
        if model.status != LoggedModelStatus.READY:
            raise ValueError(f"{given}: model {model.model_id} is {model.status}, not READY; log it again")
        return FoundModel(given, model.artifact_location, model.model_id, model.source_run_id or "")
    if registered:
        name, version, alias = registered.groups()
        if alias:
            entry = client.get_model_version_by_alias(name, alias)
        elif version == LATEST:
            quote = '"' if "'" in name else "'"
            versions = client.search_model_versions(f"name = {quote}{name}{quote}")
            if not versions:
                raise ValueError(f"{given}: there is no registered model {name!r} with a version")
            entry = max(versions, key=lambda one: int(one.version))
        elif version.isdigit():
            entry = client.get_model_version(name, version)
        else:
            raise ValueError(f"{given}: {version!r} is no version; give a number, {LATEST}, or models:/{name}@<alias>")
        source = str(entry.source)
        if _MODEL_ID.fullmatch(source):
            return _find(client, source, given)
        return FoundModel(given, source, "", entry.run_id or "")
    if of_run:
        return _of_run(client, of_run[1], of_run[2], given)
    raise ValueError(f"{given!r} is no URI of a model; give {FORMS}")


def _of_run(client: MlflowClient, run_id: str, path: str, given: str) -> FoundModel:
    """Find the newest model that a run has logged under a name, or else an artifact of the run."""
    run = client.get_run(run_id)
    models = client.search_logged_models([run.info.experiment_id], filter_string=f"source_run_id = '{run_id}'")
    named = [model for model in models if model.name == path]
    if named:
        newest = max(named, key=lambda model: model.creation_timestamp)
        return _find(client, f"models:/{newest.model_id}", given)
    return FoundModel(given, f"{run.info.artifact_uri.rstrip('/')}/{path}", "", run_id)


def _check_run(client: MlflowClient, found: FoundModel) -> None:
    try:
        run = client.get_run(found.run_id)
    except MlflowException:
        return  # deleted for good, or in another store: the model itself is there
    if run.info.lifecycle_stage != "active":
        raise ValueError(f"{found.uri}: its run {found.run_id} is deleted; restore it in the UI first")
    if run.info.status != "FINISHED":
        raise ValueError(
            f"{found.uri}: its run {found.run_id} is {run.info.status}, not FINISHED, and may be half trained; wait "
            "for the run, or end it as finished (MlflowClient().set_terminated)"
        )


def download_model(client: MlflowClient, found: FoundModel, folder: Path) -> Path:
    """Download the artifacts of a model into a local folder; nothing is loaded.

    Raises:
        ValueError: they are not there, or cannot be read.
    """
    try:
        with without_progress_bars():
            return Path(download_artifacts(found.location, dst_path=str(folder), tracking_uri=client.tracking_uri))
    except (MlflowException, OSError) as error:
        raise ValueError(f"{found.uri}: its artifacts cannot be read ({first_line(error)}); log it again") from None
