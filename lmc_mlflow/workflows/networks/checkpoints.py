"""How is a network logged so that it is rebuilt, with its data, from its run alone?"""

from collections.abc import Mapping

from lmc_mlflow.config.canonical import to_nested
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.contract import Artifact
from lmc_mlflow.models.registry import NetworkSpec
from lmc_mlflow.query.networks import FORMAT, LoggedNetwork
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.weights import State


def log_checkpoint(
    run: TrackedRun,
    state: State,
    spec: NetworkSpec,
    config: TrainPairConfig,
    side: str,
    split_run: str,
    digests: Mapping[str, str],
) -> None:
    """Weights and what rebuilds them.

    Args:
        run: of the network.
        state: its weights and buffers.
        spec: its shape.
        config: how it was trained.
        side: whose training images it saw.
        split_run: the run that keeps the split.
        digests: of `data`, `test` and `train`, which whoever rebuilds the data holds them against.
    """
    content = {
        "format": FORMAT,
        "network": vars(spec),
        "config": to_nested(config),
        "side": side,
        "split_run": split_run,
        "digests": dict(digests),
    }
    run.log_tensors(state, Artifact.CHECKPOINT)
    run.log_json(content, Artifact.CHECKPOINT_CONFIG)


def log_network(run: TrackedRun, network: LoggedNetwork) -> None:
    """The same for a network that was made from a logged one."""
    log_checkpoint(run, network.state, network.spec, network.config, network.side, network.split_run, network.digests)
