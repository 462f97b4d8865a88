"""Scores an ensemble on further test sets, and estimates its members' accuracy there without labels."""

import dataclasses

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmc_mlflow.config.ensemble_and_prune import ScoresConfig
from lmc_mlflow.contract import Artifact
from lmc_mlflow.plots.per_run.other_scores import other_scores_figure
from lmc_mlflow.predictions.ensembles import Interval, score_ensemble
from lmc_mlflow.predictions.unlabelled import Ints, accuracy_by_agreement, accuracy_on_the_line
from lmc_mlflow.seeds import derive_seed
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.ensemble.predictions import Predictions

ESTIMATES = ("estimated_accuracy_gde", "estimated_accuracy_line")
"""Estimates of the members' mean accuracy without labels: by agreement alone, and by agreement on the line."""


def scores_of(config: ScoresConfig, outputs: NDArray[np.float32], labels: Ints) -> dict[str, Interval]:
    """Score log-probabilities (M, N, K) on labels (N,); equal samples get equal intervals, whatever the test set."""
    rng = np.random.default_rng(derive_seed(config.scores_seed, "bootstrap"))
    return score_ensemble(outputs, labels, config.num_resamples, config.confidence, rng)


def log_other_scores(run: TrackedRun, config: ScoresConfig, predictions: Predictions, title: str) -> dict[str, float]:
    """Log every score on every further test set as `<split>/<score>`, with tables, predictions and a figure.

    Args:
        run: of the ensemble.
        config: how scores are estimated.
        predictions: of all members.
        title: over the figure.

    Returns:
        The metrics; none without a further test set.
    """
    if not predictions.others:
        return {}
    known, known_labels = predictions.outputs.numpy().argmax(axis=2), predictions.labels.numpy()
    metrics: dict[str, float] = {}
    rows = []
    for split, (own_outputs, own_labels) in predictions.others.items():
        outputs, labels = own_outputs.numpy(), own_labels.numpy()
        votes = outputs.argmax(axis=2)
        scores = scores_of(config, outputs, labels)
        member_accuracy = scores["member_accuracy"].value
        found = (accuracy_by_agreement(votes), accuracy_on_the_line(votes, known, known_labels))
        for name, estimate in zip(ESTIMATES, found, strict=True):
            if np.isfinite(estimate):
                scores[name] = Interval(estimate, estimate, estimate)
                metrics |= {f"{split}/{name}": estimate, f"{split}/{name}_error": estimate - member_accuracy}
        for name, interval in scores.items():
            rows.append({"split": split, "score": name, **dataclasses.asdict(interval)})
            if name not in ESTIMATES:
                key = f"{split}/{name}"
                metrics |= {key: interval.value, f"{key}_low": interval.low, f"{key}_high": interval.high}
        run.log_arrays({"probabilities": np.exp(outputs), "labels": labels}, f"predictions_{split}.npz")
    table = pd.DataFrame(rows)
    run.log_json(table.to_dict(orient="split", index=False), Artifact.OTHER_SCORES)
    run.log_figure(other_scores_figure(table, title), "figures/other_data.png")
    run.log_metrics(metrics)
    return metrics
