"""What does a network that was made from a logged one share with it?"""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.contract import tag
from lmc_mlflow.query.networks import LoggedNetwork

TRAIN_SECONDS = "cost/train_seconds"
INHERITED = ("dataset", "model", "shift", "seed", "noise", "lr", "batch_size", "data_digest", "side")


def derived(origin: LoggedNetwork, state: Mapping[str, Tensor], config: TrainPairConfig) -> LoggedNetwork:
    """The network with these weights, otherwise as the one it was made from; `config` may name another model."""
    return replace(
        origin,
        spec=replace(origin.spec, model=config.model.model),
        state={name: value.detach().cpu() for name, value in state.items()},
        config=config,
    )


def inherited_tags(origin: LoggedNetwork) -> dict[str, str]:
    """The tags for browsing that a network shares with the one it was made from."""
    tags = origin.run.data.tags
    return {tag(name): tags[tag(name)] for name in INHERITED if tag(name) in tags}


def train_seconds(origin: LoggedNetwork) -> float:
    """What training took up to a logged network: an ensemble adds up what its members cost."""
    return float(origin.run.data.metrics.get(TRAIN_SECONDS, 0.0))


def display_name(network: LoggedNetwork) -> str:
    """What a person would call the network."""
    config = network.config
    return f"{config.data.dataset} {config.model.model} {config.data.shift} seed {config.model.seed} {network.side}"
