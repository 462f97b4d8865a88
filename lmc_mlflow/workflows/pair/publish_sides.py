"""Publishes both networks of a pair at the end of its training."""

from collections.abc import Mapping

from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.workflows.publish.publish import publish_all


def publish_sides(endpoints: Mapping[str, str], config: TrainPairConfig) -> dict[str, str]:
    """Publish the networks of a pair.

    Args:
        endpoints: side -> run id.
        config: of the training.

    Returns:
        Side -> address of its model.
    """
    models = publish_all(endpoints.values(), config.runtime, config.data.data_root)
    return {side: models[run_id] for side, run_id in endpoints.items()}
