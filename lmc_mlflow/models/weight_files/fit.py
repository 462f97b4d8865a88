"""Gives the tensors of a file the names and types of a network that is known by name."""

from collections.abc import Mapping

from torch import Tensor

from lmc_mlflow.models.families import facts_of
from lmc_mlflow.models.libraries.transformers_networks import names_of_modules
from lmc_mlflow.models.registry import NetworkSpec, empty_state
from lmc_mlflow.models.weight_files.keys import match_keys


def fit_to_network(state: Mapping[str, Tensor], spec: NetworkSpec) -> tuple[dict[str, Tensor], list[str]]:
    """Give the tensors of a file the names of a network, as `match_keys` does.

    Files of transformers keep the names of its version 4; they get those of the installed version first.

    Args:
        state: name -> tensor, of a file.
        spec: the network.

    Returns:
        What `load_state_dict` of the network takes, and sentences that say what was done.

    Raises:
        ValueError: as in `match_keys`, or there is no such network.
    """
    expected = empty_state(spec)
    if facts_of(spec.model).library == "transformers":
        state = names_of_modules(spec.model, state)
    return match_keys(state, expected)
