"""Measures how far apart two logged networks are: angles and distances between their weights."""

from collections.abc import Callable, Collection, Mapping

import pandas as pd

from lmc_mlflow import weights
from lmc_mlflow.models.parameters import num_parameters, trainable, weight_arrays
from lmc_mlflow.models.registry import build_network
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.seeds import derive_seed
from lmc_mlflow.weights import State

BY_TENSOR: Mapping[str, Callable[[State, State, Collection[str]], float]] = {
    "cosine": weights.cosine,
    "angle_deg": weights.angle_deg,
    "manhattan": weights.manhattan,
    "euclidean_squared": weights.euclidean_squared,
}
"""Name -> what is computed of each tensor."""


def similarity(a: LoggedNetwork, b: LoggedNetwork) -> dict[str, float]:
    """Compute angles and distances between two networks, under the names they are logged by."""
    network = a.network()
    names, kernels = trainable(network), weight_arrays(network)
    manhattan = weights.manhattan(a.state, b.state, names)
    euclidean_squared = weights.euclidean_squared(a.state, b.state, names)
    return {
        "cosine": weights.cosine(a.state, b.state, names),
        "angle_deg": weights.angle_deg(a.state, b.state, names),
        "angle_weights_deg": weights.angle_deg(a.state, b.state, kernels),
        "manhattan": manhattan,
        "manhattan_per_parameter": manhattan / num_parameters(network),
        "euclidean_squared": euclidean_squared,
        "euclidean_squared_per_parameter": euclidean_squared / num_parameters(network),
    }


def similarity_by_tensor(a: LoggedNetwork, b: LoggedNetwork) -> pd.DataFrame:
    """Compute the same for each trained tensor by itself: the content of `similarity.json`.

    Returns:
        Columns tensor, parameters, cosine, angle_deg (None where one of the two is all zeros), manhattan,
        euclidean_squared; in the order of the network.
    """
    rows = []
    for name in trainable(a.network()):
        row = {"tensor": name, "parameters": a.state[name].numel()}
        row |= {key: compute(a.state, b.state, [name]) for key, compute in BY_TENSOR.items()}
        rows.append({key: None if value != value else value for key, value in row.items()})
    return pd.DataFrame(rows, dtype=object)


def reference_angle(end: LoggedNetwork) -> float:
    """Compute the angle between two random initializations of the network, all trainable parameters, in degrees."""
    random = [build_network(end.spec, derive_seed(0, "reference", i)).state_dict() for i in (0, 1)]
    return weights.angle_deg(random[0], random[1], trainable(end.network()))
