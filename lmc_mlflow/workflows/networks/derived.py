"""Logs a network with what rebuilds it, and makes networks from logged ones."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from lmc_mlflow.config.canonical import to_nested
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.contract import Artifact
from lmc_mlflow.models.registry import NetworkSpec
from lmc_mlflow.own_code import source_file
from lmc_mlflow.query.checkpoint_config import FORMAT
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.weights import State

TRAIN_SECONDS = "cost/train_seconds"


def log_checkpoint(
    run: TrackedRun,
    state: State,
    spec: NetworkSpec,
    config: TrainPairConfig,
    side: str,
    split_run: str,
    digests: Mapping[str, str],
) -> None:
    """Log weights and what rebuilds their network and its data; the source of a user's own builder too.

    Args:
        run: of the network.
        state: its weights and buffers.
        spec: its shape.
        config: how it was trained.
        side: whose training images it saw.
        split_run: the run that holds the split.
        digests: of `data`, `test` and `train`; whoever rebuilds the data checks them.
    """
    network = dict(vars(spec))
    graph = network.pop("graph")
    content = {
        "format": FORMAT,
        "network": network,
        "config": to_nested(config),
        "side": side,
        "split_run": split_run,
        "digests": dict(digests),
    }
    run.log_tensors(state, Artifact.CHECKPOINT)
    run.log_json(content, Artifact.CHECKPOINT_CONFIG)
    if graph:
        run.log_text(graph, Artifact.CHECKPOINT_GRAPH)
    if spec.source:
        run.log_text(source_file("model", spec.model).read_text(), Artifact.CHECKPOINT_SOURCE)


def log_network(run: TrackedRun, network: LoggedNetwork) -> None:
    """Log a network that was made from a logged one, as `log_checkpoint` does."""
    log_checkpoint(run, network.state, network.spec, network.config, network.side, network.split_run, network.digests)


def derive_network(origin: LoggedNetwork, state: Mapping[str, Tensor], config: TrainPairConfig) -> LoggedNetwork:
    """Make a network with other weights from a logged one; `config` may name another model."""
    return replace(
        origin,
        spec=replace(origin.spec, model=config.model.model),
        state={name: value.detach().cpu() for name, value in state.items()},
        config=config,
    )


def train_seconds(origin: LoggedNetwork) -> float:
    """Give the seconds that training took up to a logged network: an ensemble adds up those of its members."""
    return float(origin.run.data.metrics.get(TRAIN_SECONDS, 0.0))


def display_name(network: LoggedNetwork) -> str:
    """Name a network as a person would."""
    config = network.config
    return f"{config.data.dataset} {config.model.model} {config.data.shift} seed {config.model.seed} {network.side}"
