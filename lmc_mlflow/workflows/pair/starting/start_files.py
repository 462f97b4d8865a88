"""Reads the network that both sides of a pair start from where it is given by a file or by its URI in MLflow."""

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from lmc_mlflow.config.adopting import AdoptingConfig, is_uri
from lmc_mlflow.config.train_pair import ModelConfig
from lmc_mlflow.models.registry import NetworkSpec
from lmc_mlflow.models.weight_files.fit import fit_to_network
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.workflows.adopt.found_network import find_network

logger = logging.getLogger(__name__)
MOST_HEADS = 8
"""Numbers of outputs that are tried for a file whose last layer is for other classes."""


def is_given_by_file(start: str) -> bool:
    """Tell whether a start is a file or a URI, and no run id."""
    return is_uri(start) or Path(start).exists()


def read_start(store: Store, start: str, model: ModelConfig, spec: NetworkSpec) -> dict[str, Tensor]:
    """Read the weights of a start; its last layer may have another number of outputs.

    Args:
        store: where a URI is looked up.
        start: a file or folder of weights, or a URI of a model or of a file in MLflow.
        model: which network the pair trains.
        spec: of that network, for the pair's images.

    Returns:
        Name in the network's state dict -> tensor.

    Raises:
        ValueError: it cannot be read, or its weights are those of another network.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = find_network(
            store, AdoptingConfig(state=start, model=model.model, model_options=model.model_options), Path(folder)
        )
    try:
        network, notes = _fitted(found.state, spec)
    except ValueError as error:
        raise ValueError(f"start={start}: {error}") from None
    for note in (*found.notes, *notes):
        logger.warning("start=%s: %s", start, note)
    return network


def _fitted(state: Mapping[str, Tensor], spec: NetworkSpec) -> tuple[dict[str, Tensor], list[str]]:
    """Give the weights the names of the network, with as many outputs as they have."""
    sizes = [len(value) for value in reversed([*state.values()]) if value.ndim in (1, 2)]
    refusal: ValueError | None = None
    for size in list(dict.fromkeys([spec.num_classes, *sizes]))[:MOST_HEADS]:
        try:
            return fit_to_network(state, replace(spec, num_classes=size))
        except ValueError as error:
            refusal = refusal or error
    assert refusal is not None
    raise refusal
