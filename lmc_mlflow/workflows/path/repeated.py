"""Compares two executions of one configuration: their weights, learning curves and path (Hepburn et al., Fig. 18)."""

import math
from collections.abc import Mapping

from mlflow import MlflowClient

from lmc_mlflow import weights
from lmc_mlflow.contract import REPEATED, Tag
from lmc_mlflow.paths.walk import Path
from lmc_mlflow.query.runs import metric_curve
from lmc_mlflow.workflows.networks.pair_of_networks import Ends

SAME = (Tag.FINGERPRINT, Tag.DATA_DIGEST, Tag.SIDE)
"""Tags in which two executions of one configuration are equal."""
LEARNING = ("train/", "test/")
"""Before the metrics of an endpoint whose steps are epochs."""
WEIGHT, CURVE, PATH_LOSS = (f"{REPEATED}{name}_difference" for name in ("weight", "curve", "path_loss"))


def repeated_metrics(client: MlflowClient, ends: Ends, path: Path) -> dict[str, float]:
    """Measure how far two executions of one configuration are apart; nothing of networks that are no such executions.

    Returns:
        The largest absolute difference of a number in their states (batch-norm statistics included), of a value of
        their learning curves, and between the losses at two points of their path, over all its splits.

    Args:
        client: of the store.
        ends: as they were logged.
        path: between them.
    """
    a, b = (end.run for end in ends)
    tags = [[end.run.data.tags.get(name, "") for name in SAME] for end in ends]
    if a.info.run_id == b.info.run_id or tags[0] != tags[1] or not tags[0][0]:
        return {}
    losses = [max(map(float, own)) - min(map(float, own)) for own in path.losses.values()]
    return {
        WEIGHT: weights.largest_difference(ends[0].state, ends[1].state),
        CURVE: curve_difference(client, a.info.run_id, b.info.run_id, sorted(a.data.metrics)),
        PATH_LOSS: max(losses),
    }


def repeated_sentence(metrics: Mapping[str, float]) -> str:
    """Say what the comparison found; empty where there was none."""
    if WEIGHT not in metrics:
        return ""
    return (
        f"Two executions of one configuration: they differ by at most {metrics[WEIGHT]:.3g} in a weight and by "
        f"{metrics[CURVE]:.3g} in their learning curves; the loss along the path varies by {metrics[PATH_LOSS]:.3g}."
    )


def curve_difference(client: MlflowClient, a: str, b: str, names: list[str]) -> float:
    """Find the largest difference of two learning curves; infinite where one has an epoch that the other lacks.

    Args:
        client: of the store.
        a: run id.
        b: run id.
        names: of the metrics of the first run; those that are no learning curves are passed over.
    """
    largest = 0.0
    for name in (name for name in names if name.startswith(LEARNING)):
        left, right = (metric_curve(client, run_id, name) for run_id in (a, b))
        if left.keys() != right.keys():
            return math.inf
        largest = max([largest, *(abs(left[epoch] - right[epoch]) for epoch in left)])
    return largest
