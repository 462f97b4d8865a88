"""Finds the softmax temperature at which outputs have the lowest loss (Guo et al. 2017)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LOWEST, HIGHEST = 0.01, 100.0
"""Between these temperatures the best one is searched."""
TOLERANCE = 1e-5
"""Of the logarithm of the temperature."""


@dataclass(frozen=True)
class Calibrated:
    """The best temperature, and the loss in nats per sample that outputs have at it.

    A temperature above 1 tells overconfident outputs, one below 1 underconfident ones.
    """

    temperature: float
    loss: float


def best_temperature(outputs: Tensor, labels: Tensor) -> Calibrated:
    """Find the temperature T at which softmax(outputs / T) has the lowest negative log-likelihood.

    The loss is convex in 1 / T, so that it has one minimum, which SciPy's bounded minimizer finds.

    Args:
        outputs: (N, K) log-probabilities, or logits: both have the same best temperature and loss.
        labels: (N,) classes, on the same device.

    Returns:
        Temperature and loss; the loss is never above that at T = 1. Both are nan where an output is nan or inf, and
        where a label has the probability 0, which no temperature changes, the loss is inf and the temperature nan.
    """
    from scipy.optimize import minimize_scalar

    shifted = outputs.detach() - outputs.detach().amax(dim=1, keepdim=True)
    of_labels = shifted.gather(1, labels[:, None])[:, 0].mean(dtype=torch.float64)
    if shifted.isnan().any():
        return Calibrated(math.nan, math.nan)
    if not of_labels.isfinite():
        return Calibrated(math.nan, math.inf)

    def loss(log_temperature: float) -> float:
        scale = math.exp(-log_temperature)
        normalizers = (shifted * scale).exp_().sum(dim=1).log_()
        return float(normalizers.mean(dtype=torch.float64) - scale * of_labels)

    bounds = math.log(LOWEST), math.log(HIGHEST)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": TOLERANCE})
    best = min((float(found.fun), float(found.x)), (loss(0.0), 0.0))
    return Calibrated(math.exp(best[1]), best[0])
