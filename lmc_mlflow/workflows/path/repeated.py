"""Compares two executions of one configuration: their weights, learning curves and path (Hepburn et al., Fig. 18)."""

from collections.abc import Mapping

from lmc_mlflow import weights
from lmc_mlflow.contract import REPEATED, Tag
from lmc_mlflow.paths.walk import Path
from lmc_mlflow.query.runs import largest_curve_difference
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.networks.pair_of_networks import Ends

SAME = (Tag.FINGERPRINT, Tag.DATA_DIGEST, Tag.SIDE)
"""Tags in which two executions of one configuration are equal."""
LEARNING = ("train/", "test/")
"""Before the metrics of an endpoint whose steps are epochs."""
WEIGHT, CURVE, PATH_LOSS = (f"{REPEATED}{name}_difference" for name in ("weight", "curve", "path_loss"))


def repeated_metrics(run: TrackedRun, ends: Ends, path: Path) -> dict[str, float]:
    """Measure how far two executions of one configuration are apart; nothing of networks that are no such executions.

    Returns:
        The largest absolute difference of a number in their states (batch-norm statistics included), of a value of
        their learning curves, and between the losses at two points of their path, over all its splits.

    Args:
        run: of the path.
        ends: as they were logged.
        path: between them.
    """
    a, b = (end.run for end in ends)
    tags = [[end.run.data.tags.get(name, "") for name in SAME] for end in ends]
    if a.info.run_id == b.info.run_id or tags[0] != tags[1] or not tags[0][0]:
        return {}
    curves = sorted(name for name in {*a.data.metrics, *b.data.metrics} if name.startswith(LEARNING))
    losses = [max(map(float, own)) - min(map(float, own)) for own in path.losses.values()]
    return {
        WEIGHT: weights.largest_difference(ends[0].state, ends[1].state),
        CURVE: largest_curve_difference(run.client, a.info.run_id, b.info.run_id, curves),
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
