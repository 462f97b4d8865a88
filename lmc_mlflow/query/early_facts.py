"""Reads what is known of pairs after their first epochs: losses, accuracy, distances, barriers between kept epochs."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from tqdm import tqdm

from lmc_mlflow.contract import BY_EPOCH, Kind, Tag
from lmc_mlflow.query.rows import runs_of
from lmc_mlflow.query.runs import default_client, metric_curve
from lmc_mlflow.query.tables import endpoints

EARLY_FACTS: Mapping[str, str] = {
    "train_loss": "training loss, mean of both sides",
    "test_loss": "test loss, mean of both sides",
    "loss_difference": "difference of the test losses of both sides",
    "loss_gap": "test loss minus training loss",
    "accuracy": "test accuracy, mean of both sides",
    "angle_deg": "angle between both sides",
    "distance": "distance between both sides",
    "barrier": "barrier on test data",
    "gradient_agreement": "cosine between the gradients of both training losses, in the middle between both sides",
    "agreement": "cosine between the movements of both sides from their start, which are their summed gradients",
}
"""Column -> what it is, after the epoch. The last five come from `interpolate epochs=`."""
LAST_EPOCH = "last_epoch"
"""Column: the last epoch that both sides have logged; NaN: none."""
START = "distance_from_start"
"""Metric of an endpoint: how far its weights have moved."""


def early_facts(pairs: pd.DataFrame, epoch: int, uri: str | None = None) -> pd.DataFrame:
    """Read `EARLY_FACTS` of pairs after their first epochs, and `LAST_EPOCH`, one row a pair; what is unknown is NaN.

    Args:
        pairs: rows of `query.pairs`; their runs need not have finished.
        epoch: counted from 1; what was measured at certain epochs only is that of the last one up to this.
        uri: of the tracking server; None: MLflow's own settings.
    """
    client = default_client(uri)
    ends = endpoints(finished=False, uri=uri)
    sides = {pair: part.set_index("side")["run_id"] for pair, part in ends.groupby("pair")} if len(ends) else {}
    by_epoch = {
        run.data.tags.get(Tag.PAIR, ""): run.info.run_id
        for run in runs_of(Kind.PATH_BY_EPOCH, None, True, uri)
        if Tag.ALIGN not in run.data.tags
    }
    rows = []
    for pair, init in tqdm(
        pairs[["run_id", "init"]].itertuples(index=False), desc="first epochs", leave=False, disable=None
    ):
        both = sides.get(pair)
        known = _of_sides(client, dict(both), epoch) if both is not None and {"A", "B"} <= set(both.index) else {}
        starts = known.pop(START, None) if init == "same" else None
        known |= _of_paths(client, by_epoch[pair], epoch, starts) if pair in by_epoch else {}
        rows.append({"run_id": pair, **{name: known.get(name, math.nan) for name in (*EARLY_FACTS, LAST_EPOCH)}})
    return pd.DataFrame(rows, columns=["run_id", *EARLY_FACTS, LAST_EPOCH])


def _of_sides(client: MlflowClient, sides: Mapping[Any, str], epoch: int) -> dict[str, Any]:
    """Read what both trained networks logged; `START` has a curve a side."""

    def read(key: str) -> list[dict[int, float]]:
        return [metric_curve(client, sides[side], key) for side in ("A", "B")]

    tests = read("test/loss")
    train, test, accuracy = (
        [_last(curve, epoch)[1] for curve in curves] for curves in (read("train/loss"), tests, read("test/accuracy"))
    )
    return {
        "train_loss": sum(train) / 2,
        "test_loss": sum(test) / 2,
        "loss_difference": abs(test[0] - test[1]),
        "loss_gap": (sum(test) - sum(train)) / 2,
        "accuracy": sum(accuracy) / 2,
        LAST_EPOCH: min(max(curve, default=math.nan) for curve in tests),
        START: read(START),
    }


def _of_paths(client: MlflowClient, run_id: str, epoch: int, starts: list[dict[int, float]] | None) -> dict[str, float]:
    """Read what was measured between the kept states of both sides."""

    def read(key: str) -> tuple[int, float]:
        return _last(metric_curve(client, run_id, f"{key}{BY_EPOCH}"), epoch)

    step, squared = read("euclidean_squared")
    found = {name: read(name)[1] for name in ("angle_deg", "gradient_agreement")}
    found |= {"barrier": read("test/barrier")[1], "distance": math.sqrt(squared)}
    if starts is not None and all(moved.get(step, 0) > 0 for moved in starts):
        a, b = (moved[step] for moved in starts)
        found["agreement"] = (a**2 + b**2 - squared) / (2 * a * b)  # law of cosines
    return found


def _last(curve: Mapping[int, float], epoch: int) -> tuple[int, float]:
    """Give the last point of a curve up to an epoch; NaN where there is none."""
    step = max((step for step in curve if 1 <= step <= epoch), default=0)
    return step, curve.get(step, math.nan) if step else math.nan
