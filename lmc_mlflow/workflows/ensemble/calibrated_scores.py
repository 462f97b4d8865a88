"""Scores an ensemble once its softmax temperature was chosen on a part of the test images."""

import math

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.config.ensemble_and_prune import ScoresConfig
from lmc_mlflow.predictions.ensembles import Interval, bootstrap
from lmc_mlflow.predictions.temperature_scaling import scale_prediction
from lmc_mlflow.seeds import derive_seed

TEMPERATURE = "temperature"


def score_calibrated(
    log_probabilities: NDArray[np.float32], labels: NDArray[np.int64], config: ScoresConfig
) -> tuple[dict[str, float], dict[str, Interval]]:
    """Choose the temperature, and score the images that did not choose it, before and after.

    Args:
        log_probabilities: (M, N, K).
        labels: (N,).
        config: the share of images, the seed and the resamples.

    Returns:
        The metric `temperature`, and the scores; nothing where none is asked for, or where the images are too few.
    """
    draws = np.random.default_rng(derive_seed(config.scores_seed, "temperature images"))
    scaled = scale_prediction(log_probabilities, labels, config.temperature_share, draws)
    if scaled is None:
        return {}, {}
    rng = np.random.default_rng(derive_seed(config.scores_seed, "bootstrap of the calibrated"))
    scores = bootstrap(scaled.weighted, scaled.num_samples, config.num_resamples, config.confidence, rng)
    return ({TEMPERATURE: scaled.temperature} if math.isfinite(scaled.temperature) else {}), scores
