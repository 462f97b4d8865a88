"""Finds the network that is adopted, and reads its architecture and weights from files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from lmc_mlflow.config.adopting import ARCHIVE, AdoptingConfig, is_uri, is_whole
from lmc_mlflow.contract import Tag
from lmc_mlflow.models.graphs.content import GraphContent, graph_name
from lmc_mlflow.models.graphs.exported import read_exported
from lmc_mlflow.models.weight_files.files import read_state
from lmc_mlflow.models.weight_files.hub_folders import read_hub_folder
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.tracking.models import FoundModel, download_model, find_model

LOG_AGAIN = (
    "log it with mlflow.pytorch.log_model(network, name=..., input_example=<several images>), whose format is pt2"
)
SHOWN_OF_ID = 10
PICKLES = ("model.pth", "pickle_module_info.txt", "model.pkl", "python_model.pkl")


@dataclass(frozen=True)
class FoundNetwork:
    """A network that was trained elsewhere, as it was found.

    Attributes:
        label: what to call it in names and figures.
        where: what the run says of where it came from.
        model: which network, or `graph:<digest>`.
        model_options: further arguments of its builder, as JSON.
        graph: of a network that torch.export has traced.
        state: its weights, under the names that it has there.
        notes: what was done to read them.
        tags: of the run.
    """

    label: str
    where: str
    model: str
    model_options: str
    graph: GraphContent | None
    state: Mapping[str, Tensor]
    notes: tuple[str, ...]
    tags: Mapping[str, str]


def find_network(store: Store, config: AdoptingConfig, folder: Path) -> FoundNetwork:
    """Find the network of a configuration, in MLflow or in files, and read it; nothing in it is run.

    Args:
        store: where a URI is looked up.
        config: which network.
        folder: an existing one, for downloads.

    Raises:
        ValueError: it is not there, damaged, pickled, or a network that cannot be used here; says what to do.
    """
    if is_uri(config.model):
        return _logged_model(store, config, folder)
    if is_whole(config.model):
        place = Path(config.model)
        if not place.is_file():
            raise ValueError(f"model={config.model}: there is no such file")
        return _graph(place, config.model, place.name, {Tag.SOURCE: place.name})
    return _state(store, config, folder)


def _logged_model(store: Store, config: AdoptingConfig, folder: Path) -> FoundNetwork:
    found = find_model(store.client, config.model)
    label = found.model_id[:SHOWN_OF_ID] or f"{found.run_id[:8]} {Path(found.location).name}"
    return _graph(download_model(store.client, found, folder), found.uri, label, _tags(found))


def _graph(place: Path, where: str, label: str, tags: Mapping[str, str]) -> FoundNetwork:
    try:
        graph, state = read_exported(_exported_file(place))
    except ValueError as error:
        raise ValueError(f"{where} {error}") from None
    return FoundNetwork(label, where, graph_name(graph.text), "", graph, state, (), tags)


def _exported_file(model: Path) -> Path:
    """Find the archive of torch.export in the folder of a model, by its MLmodel.

    Raises:
        ValueError: it is no model of PyTorch, or holds pickles, which are not loaded.
    """
    if model.is_file() and model.suffix == ARCHIVE:
        return model
    try:
        content: Any = yaml.safe_load((model / "MLmodel").read_text())
        flavors = content["flavors"]
    except (OSError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError):
        raise ValueError(f"is no model of MLflow: it has no readable file MLmodel; {LOG_AGAIN}") from None
    if "pytorch" not in flavors:
        raise ValueError(f"is a model of the kind {', '.join(flavors)}, not of PyTorch; {LOG_AGAIN}")
    place = model / str(flavors["pytorch"].get("model_data", "data"))
    if not place.resolve().is_relative_to(model.resolve()):
        raise ValueError("is damaged: its MLmodel points out of its folder")
    archive = place / "model.pt2"
    if archive.is_file():
        return archive
    if any((place / name).exists() for name in PICKLES):
        raise ValueError(
            f"was logged as a pickle, which runs code when it is loaded, and is not loaded; {LOG_AGAIN}, or save its "
            "state dict as .safetensors and give state=<file> with model=<module>:<function>"
        )
    raise ValueError(f"has no file model.pt2; {LOG_AGAIN}")


def _state(store: Store, config: AdoptingConfig, folder: Path) -> FoundNetwork:
    found = find_model(store.client, config.state) if is_uri(config.state) else None
    place = Path(config.state) if found is None else download_model(store.client, found, folder)
    model, options, file = config.model, config.model_options, place
    try:
        if place.is_dir() and not (place / "MLmodel").is_file():
            named, its_options, file = read_hub_folder(place)
            model, options = model or named, options or its_options
        if not model:
            raise ValueError(
                f"state={config.state}: a file of weights does not say which network; give model=<network>"
            )
        if (place / "MLmodel").is_file():
            return _weights_of_model(config, place, found)
        read = read_state(file, config.weights)
    except ValueError as error:  # a downloaded file is gone by then: the URI is what can be looked up
        raise ValueError(str(error).replace(str(place), config.state)) from None
    label = f"{place.parent.name}/{place.name}" if place.parent.name else place.name
    tags = {Tag.SOURCE: place.name} if found is None else _tags(found)
    return FoundNetwork(label, config.state, model, options, None, read.tensors, tuple(read.notes), tags)


def _weights_of_model(config: AdoptingConfig, place: Path, found: FoundModel | None) -> FoundNetwork:
    """Take the weights alone of a model in MLflow, for a network that has a name."""
    try:
        _, state = read_exported(_exported_file(place))
    except ValueError as error:
        raise ValueError(f"{config.state} {error}") from None
    tags = {Tag.SOURCE: place.name} if found is None else _tags(found)
    return FoundNetwork(place.name, config.state, config.model, config.model_options, None, state, (), tags)


def _tags(found: FoundModel) -> dict[str, str]:
    tags = {Tag.SOURCE: found.uri, Tag.SOURCE_RUN: found.run_id, Tag.SOURCE_MODEL: found.model_id}
    return {name: value for name, value in tags.items() if value}
