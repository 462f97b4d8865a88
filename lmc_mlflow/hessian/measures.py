"""The table of measures of curvature: numbers of a network's loss around its parameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from lmc_mlflow.hessian.eigenvalues import largest_eigenvalue
from lmc_mlflow.hessian.sample_loss import SampleLoss
from lmc_mlflow.hessian.traces import Estimate, estimate_trace
from lmc_mlflow.seeds import stream

NAN = float("nan")


@dataclass(frozen=True)
class Probing:
    """How random vectors are drawn, and how many.

    Attributes:
        num_probes: of a trace.
        confidence: of its interval.
        seed: of the vectors.
    """

    num_probes: int = 30
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class CurvatureMeasure:
    """One number of the loss around a network.

    Attributes:
        words: what it is called on an axis.
        of: loss and probing -> the number; both ends of its interval are nan where it is not random.
        is_estimate: whether it has an interval.
    """

    words: str
    of: Callable[[SampleLoss, Probing], Estimate]
    is_estimate: bool = False

    def columns(self, name: str) -> list[str]:
        """Name what it has in a table."""
        return [name, f"{name}_low", f"{name}_high"] if self.is_estimate else [name]


def _start(loss: SampleLoss, probing: Probing) -> torch.Tensor:
    drawn = torch.randn(len(loss.weights), generator=stream(probing.seed, "curvature start"), dtype=torch.float64)
    return drawn.to(loss.weights)


def _eigenvalue(loss: SampleLoss, probing: Probing) -> Estimate:
    return Estimate(largest_eigenvalue(loss.hessian_products, _start(loss, probing)), NAN, NAN)


def _adaptive_sharpness(loss: SampleLoss, probing: Probing) -> Estimate:
    return Estimate(largest_eigenvalue(loss.adaptive_products, _start(loss, probing)), NAN, NAN)


def _trace(loss: SampleLoss, probing: Probing) -> Estimate:
    probes = stream(probing.seed, "curvature probes")
    return estimate_trace(loss.hessian_products, len(loss.weights), probing.num_probes, probing.confidence, probes)


def _adaptive_trace(loss: SampleLoss, probing: Probing) -> Estimate:
    probes = stream(probing.seed, "curvature probes")
    return estimate_trace(loss.adaptive_products, len(loss.weights), probing.num_probes, probing.confidence, probes)


MEASURES: Mapping[str, CurvatureMeasure] = {
    "eigenvalue": CurvatureMeasure("largest eigenvalue of the Hessian", _eigenvalue),
    "trace": CurvatureMeasure("trace of the Hessian", _trace, is_estimate=True),
    "adaptive_sharpness": CurvatureMeasure("adaptive sharpness", _adaptive_sharpness),
    "adaptive_trace": CurvatureMeasure("adaptive trace", _adaptive_trace, is_estimate=True),
}
"""Name -> measure; `config.curvature` holds the names again, because the flags must not import PyTorch.

The eigenvalue and the trace change where ReLU units are rescaled, which leaves the network's outputs as they are; the
adaptive ones, of |w| H |w| (second order of Kwon et al., 2021; Andriushchenko et al., 2023), do not.
"""


def measure_loss(loss: SampleLoss, names: tuple[str, ...], probing: Probing) -> dict[str, float]:
    """Measure the loss itself and the rows of the table by these names: column -> number."""
    found = {"loss": loss.value()}
    for name in names:
        measure = MEASURES[name]
        found |= dict(zip(measure.columns(name), vars(measure.of(loss, probing)).values(), strict=False))
    return found


def layers_of(names: list[str]) -> dict[str, list[str]]:
    """Group parameters by the layer that holds them: name of the layer -> its parameters."""
    layers: dict[str, list[str]] = {}
    for name in names:
        layers.setdefault(name.rpartition(".")[0] or name, []).append(name)
    return layers
