"""How is a network put at a point of a segment, batch norm's statistics (or all units') included?"""

import functools
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from lmc_mlflow import weights
from lmc_mlflow.batches import Images
from lmc_mlflow.config.choices import lookup
from lmc_mlflow.normalization import recalibrate
from lmc_mlflow.normalization.repair import EndStatistics, complete, complete_state, measure_ends, repair
from lmc_mlflow.paths.engines.one_pass import Place
from lmc_mlflow.seeds import stream
from lmc_mlflow.weights import State

Ends = tuple[State, State]
CALIBRATION_BATCH = 1000
CALIBRATED = ("recalibrate", "repair")
"""Policies that look at images of both training sides."""
BatchNormPolicy = Callable[[nn.Module, Ends, float, Images | None], None]


def placer(network: nn.Module, ends: Ends, bn: str, calibration: Images | None) -> Place:
    """What puts a network at points of the segment, one after the other (in place), and hands it out.

    Args:
        network: of the ends' architecture, on their device, in evaluation mode.
        ends: states of A and B.
        bn: a row of `BN_POLICIES`.
        calibration: images of both training sides, for the policies that `CALIBRATED` names.

    Raises:
        ValueError: no such policy; says which there are.
    """
    policy = lookup(BN_POLICIES, bn, "bn")
    if policy is _repair:
        return _repairing(network, ends, calibration)

    def place(alpha: float) -> nn.Module:
        network.load_state_dict(weights.interpolate(*ends, alpha))
        policy(network, ends, alpha, calibration)
        return network

    return place


def network_at(network: nn.Module, ends: Ends, alpha: float, bn: str, calibration: Images | None) -> nn.Module:
    """Put a network at one point of the segment (in place). Arguments as in `placer`, which does many faster."""
    return placer(network, ends, bn, calibration)(alpha)


def _repairing(network: nn.Module, ends: Ends, calibration: Images | None) -> Place:
    """As `placer`, for `repair`: the ends are measured once, when the first point is asked for."""

    def batches() -> Iterator[Tensor]:
        return mixed_batches(calibration)

    @functools.cache
    def of_ends() -> EndStatistics:
        complete(network, next(batches())[:2])
        return measure_ends(network, ends, batches)

    def place(alpha: float) -> nn.Module:
        measured = of_ends()
        network.load_state_dict(complete_state(network, weights.interpolate(*ends, alpha)))
        repair(network, measured, alpha, batches)
        return network

    return place


def mixed_batches(calibration: Images | None) -> Iterator[Tensor]:
    """All images of both training sides in batches that mix the two, in an order that is always the same."""
    assert calibration is not None, "this way with batch norm needs the training sides"
    order = torch.randperm(calibration.shape[0], generator=stream(0, "recalibration"))
    return calibration.batches(order, CALIBRATION_BATCH)


def _interpolate(_network: nn.Module, _ends: Ends, _alpha: float, _calibration: Images | None) -> None:
    """Buffers lie on the segment like weights; `weights.interpolate` has put them there."""


def _nearest(network: nn.Module, ends: Ends, alpha: float, _calibration: Images | None) -> None:
    """The statistics of the nearer end (A's in the middle): parameters alone are interpolated."""
    end = ends[0] if alpha <= 0.5 else ends[1]
    for name, buffer in network.named_buffers():
        buffer.copy_(end[name])


def _recalibrate(network: nn.Module, _ends: Ends, _alpha: float, calibration: Images | None) -> None:
    """Reset, then a cumulative average over both training sides, in batches that mix the two."""
    recalibrate(network, mixed_batches(calibration))


def _repair(network: nn.Module, ends: Ends, alpha: float, calibration: Images | None) -> None:
    """Every hidden unit's mean and deviation lie between the ends'."""
    _repairing(network, ends, calibration)(alpha)


BN_POLICIES: Mapping[str, BatchNormPolicy] = {
    "interpolate": _interpolate,
    "recalibrate": _recalibrate,
    "nearest": _nearest,
    "repair": _repair,
}
