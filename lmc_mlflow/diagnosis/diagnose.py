"""Names the causes of a barrier between two networks, the cheap questions first."""

from dataclasses import replace

import numpy as np

from lmc_mlflow.diagnosis.examination import Examination
from lmc_mlflow.diagnosis.findings import (
    Diagnosis,
)
from lmc_mlflow.diagnosis.remedies import Treatable
from lmc_mlflow.diagnosis.symptoms import Rules, find_symptom
from lmc_mlflow.diagnosis.treated_paths import TreatedPaths
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.paths.grid import barrier_error_bound
from lmc_mlflow.paths.intervals import Bootstrap

MOST_POINTS = 101
TOLERANCE = 0.01


def diagnose(treatable: Treatable, num_alphas: int, rules: Rules, bootstrap: Bootstrap) -> Diagnosis:
    """Explain the barrier between two networks.

    The path as it is comes first; where it is connected nothing else is measured. Then the ends under other scalings of
    the images, and B with single layers of A; then the remedies (statistics, confidence, permutation, scales), of which
    those that are needed share what they take away; then the ends and the training images. What is left above the
    threshold is another basin. Each is named only where its interval lies above 0.

    Args:
        treatable: the networks and their images.
        num_alphas: points of the first path.
        rules: thresholds and the share that intervals hold.
        bootstrap: resamples of the images.

    Raises:
        ValueError: the outputs are no log-probabilities where the labels are class indices.
    """
    paths = TreatedPaths(treatable, alpha_grid(num_alphas), bootstrap)
    paths, coarse = _refine(paths, rules)
    symptom = find_symptom(paths, rules)
    return Examination(paths, rules, symptom, coarse).diagnosis()


def _refine(paths: TreatedPaths, rules: Rules) -> tuple[TreatedPaths, TreatedPaths | None]:
    """Add points as long as a barrier may hide between them; give the finer grid, and the first one if it hid one."""
    first, now = paths, paths
    while len(now.alphas) < MOST_POINTS and find_symptom(now, rules).answer == "yes":
        losses = now.samples().plain.losses.mean(axis=1, dtype=np.float64)
        value = float(now.rows()["barrier_in_basin"][0])
        if not value + barrier_error_bound(now.alphas, losses, TOLERANCE) > rules.barrier:
            break
        now = replace(now, alphas=alpha_grid(2 * len(now.alphas) - 1), _found={})
    hidden = now is not first and find_symptom(now, rules).answer != "yes"
    return now, first if hidden else None
