"""Estimates the trace of a symmetric operator by random probes (Hutchinson, 1989), with an interval."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor

PROBES_AT_ONCE = 8
"""Probes that are multiplied together, where there are few parameters."""
FEW_PARAMETERS = 2_000_000


@dataclass(frozen=True)
class Estimate:
    """A number and the ends of its interval."""

    value: float
    low: float
    high: float


def estimate_trace(
    products: Callable[[Tensor], Tensor], size: int, num_probes: int, confidence: float, generator: torch.Generator
) -> Estimate:
    """Estimate a trace: the mean of z' H z over vectors z of random signs, and Student's interval of that mean.

    Args:
        products: multiplies the operator (P, P) with vectors (K, P); takes vectors of the CPU.
        size: P.
        num_probes: vectors, at least 2.
        confidence: with which the interval holds the trace.
        generator: draws the signs.
    """
    at_once = PROBES_AT_ONCE if size <= FEW_PARAMETERS else 1
    values: list[float] = []
    for start in range(0, num_probes, at_once):
        shape = (min(at_once, num_probes - start), size)
        probes = torch.randint(0, 2, shape, generator=generator, dtype=torch.float32).mul_(2).sub_(1)
        found = products(probes)
        values += (found.double() * probes.to(found.device)).sum(dim=1).tolist()
    mean = float(np.mean(values))
    half = float(stats.t.ppf((1 + confidence) / 2, num_probes - 1) * np.std(values, ddof=1) / np.sqrt(num_probes))
    return Estimate(mean, mean - half, mean + half)
