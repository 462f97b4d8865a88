"""Measures how often both ends of a path choose the same class, and what that tells of their accuracy."""

import numpy as np

from lmc_mlflow.paths.walk import Path
from lmc_mlflow.predictions.agreement import pair_shares
from lmc_mlflow.predictions.unlabelled import accuracy_by_agreement


def agreement_metrics(path: Path) -> dict[str, float]:
    """Compute of both ends on every split: their agreement, wrong agreement and wrong disagreement.

    `ends_agreement` is what Generalization Disagreement Equality says their mean accuracy is, without labels;
    `ends_agreement_minus_accuracy` is its error.

    Args:
        path: with its samples; without classes there is nothing to agree on.
    """
    metrics: dict[str, float] = {}
    for split, samples in (path.samples or {}).items():
        if samples.predicted is None or samples.labels is None:
            continue
        votes, labels = samples.predicted[[0, -1]].astype(np.int64), samples.labels.astype(np.int64)
        shares = pair_shares(votes, labels, 1 + int(max(votes.max(), labels.max())))
        agreement = accuracy_by_agreement(votes)
        found = {
            "agreement": agreement,
            "wrong_agreement": float(shares.wrong_agreement.mean()),
            "wrong_disagreement": float(shares.wrong_disagreement.mean()),
            "agreement_minus_accuracy": agreement - float((votes == labels).mean()),
        }
        metrics |= {f"{split}/ends_{name}": value for name, value in found.items()}
    return metrics
