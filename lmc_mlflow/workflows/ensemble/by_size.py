"""Scores growing ensembles, and logs accuracy, calibration and areas against the number of members."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lmc_mlflow.config.ensemble_and_prune import ScoresConfig
from lmc_mlflow.contract import Artifact
from lmc_mlflow.plots.over_seeds.ensembles.comparison import accuracy_by_size as size_figure
from lmc_mlflow.plots.over_seeds.ensembles.comparison import scores_by_size as scores_figure
from lmc_mlflow.predictions.sizes import accuracy_by_size, scores_by_size
from lmc_mlflow.seeds import derive_seed
from lmc_mlflow.tracking.run import TrackedRun

MOST_SCORED = 10
"""Random orders behind the scores against size: ranking all samples takes longer than counting the right ones."""


@dataclass(frozen=True)
class Sizes:
    """Scores against the number of members.

    Attributes:
        accuracy: columns size, method, accuracy, accuracy_low, accuracy_high.
        scores: columns size, score, value, low, high.
    """

    accuracy: pd.DataFrame
    scores: pd.DataFrame


def size_tables(
    log_probabilities: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]",
    labels: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]",
    config: ScoresConfig,
) -> Sizes:
    """Score growing ensembles: accuracy, calibration error and areas, means over random orders and their quantiles."""
    seed = derive_seed(config.scores_seed, "orders")
    accuracies = accuracy_by_size(log_probabilities, labels, config.num_orders, np.random.default_rng(seed))
    scores = scores_by_size(log_probabilities, labels, min(config.num_orders, MOST_SCORED), np.random.default_rng(seed))
    names = ("size", "method", "accuracy", "accuracy_low", "accuracy_high")
    return Sizes(
        accuracy=_spread(accuracies, config.confidence, names),
        scores=_spread(scores, config.confidence, ("size", "score", "value", "low", "high")),
    )


def _spread(
    found: "dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]", confidence: float, names: Sequence[str]
) -> pd.DataFrame:
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    tables = []
    for name, values in found.items():
        low, high = np.quantile(values, ends, axis=0)
        columns = (np.arange(1, values.shape[1] + 1), name, values.mean(axis=0), low, high)
        tables.append(pd.DataFrame(dict(zip(names, columns, strict=True))))
    return pd.concat(tables, ignore_index=True)


def log_sizes(run: TrackedRun, sampling: str, named: Mapping[str, object], sizes: Sizes) -> None:
    """Log the scores against size as curves, tables and figures.

    Args:
        run: of the ensemble.
        sampling: of its members.
        named: columns that its lines in the figures are named by.
        sizes: what is logged.
    """
    curves = {}
    for method, rows in sizes.accuracy.groupby("method"):
        curves[f"size/{method}_accuracy"] = list(zip(rows["size"], rows["accuracy"], strict=True))
    for score, rows in sizes.scores.dropna().groupby("score"):  # without a wrong prediction there is no area
        curves[f"size/{score}"] = list(zip(rows["size"], rows["value"], strict=True))
    run.log_curves({key: [(int(size), float(value)) for size, value in curve] for key, curve in curves.items()})
    run.log_json(sizes.accuracy.to_dict(orient="split", index=False), Artifact.SIZES)
    told = sizes.scores.astype(object).where(sizes.scores.notna(), None)
    run.log_json(told.to_dict(orient="split", index=False), Artifact.SCORES_BY_SIZE)
    own: dict[str, Any] = {"run_id": run.run_id, "sampling": sampling, **named}
    run.log_figure(size_figure(sizes.accuracy.assign(**own)), "figures/accuracy_against_size.png")
    run.log_figure(scores_figure(sizes.scores.assign(**own)), "figures/scores_against_size.png")
