"""The table of batch-norm policies, and the networks at points of a curve with their statistics set by one.

A policy says what the statistics of batch norm, or of all hidden units, are between the networks.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lmc_mlflow.batches import Images
from lmc_mlflow.config.choices import lookup
from lmc_mlflow.normalization import batch_norms, recalibrate
from lmc_mlflow.normalization.repair import EndStatistics, complete, complete_state, measure_ends, repair
from lmc_mlflow.paths.curves import Corners, Curve, Shares, barycentric_point, clip_to_triangle
from lmc_mlflow.seeds import stream

CALIBRATION_BATCH = 1000
LoadPoint = Callable[[float], nn.Module]
"""Loads the network at t into one module, with its statistics, and returns the module; the next call overwrites it."""


@dataclass(frozen=True)
class BatchNormPolicy:
    """One row of the table.

    Attributes:
        needs_images: whether it looks at images of the training sides.
        on_curve: module, curve and images -> what loads the curve's points into the module.
        on_plane: sets the statistics of a module that holds the point of the plane with these weights (in place);
            None: not defined on a plane.
    """

    needs_images: bool
    on_curve: Callable[[nn.Module, Curve, Images | None], LoadPoint]
    on_plane: Callable[[nn.Module, Corners, Shares, Images | None], None] | None = None


def point_loader(network: nn.Module, curve: Curve, bn: str, calibration: Images | None) -> LoadPoint:
    """Make what loads points of a curve into a module, one after the other (in place).

    Args:
        network: of the ends' architecture, on their device, in evaluation mode.
        curve: from A to B.
        bn: a row of `BN_POLICIES`.
        calibration: images of both training sides, for the policies that need images.

    Raises:
        ValueError: no such policy; says which there are.
    """
    return lookup(BN_POLICIES, bn, "bn").on_curve(network, curve, calibration)


def network_at(network: nn.Module, curve: Curve, t: float, bn: str, calibration: Images | None) -> nn.Module:
    """Load one point of a curve (in place). Arguments as in `point_loader`, which loads many faster."""
    return point_loader(network, curve, bn, calibration)(t)


def mixed_batches(calibration: Images | None) -> Iterator[Tensor]:
    """Yield all images of both training sides in batches that mix the two, in an order that is always the same."""
    assert calibration is not None, "this batch-norm policy needs the training sides"
    order = torch.randperm(calibration.shape[0], generator=stream(0, "recalibration"))
    return calibration.batches(order, CALIBRATION_BATCH)


def _interpolated(network: nn.Module, curve: Curve, _calibration: Images | None) -> LoadPoint:
    """Buffers lie on the curve like weights."""

    def load(t: float) -> nn.Module:
        network.load_state_dict(curve.point(t))
        return network

    return load


def _from_end(end_at: Callable[[float], int]) -> Callable[[nn.Module, Curve, Images | None], LoadPoint]:
    """The statistics of one end at each t: parameters alone lie on the curve."""

    def on_curve(network: nn.Module, curve: Curve, _calibration: Images | None) -> LoadPoint:
        def load(t: float) -> nn.Module:
            network.load_state_dict(curve.point(t))
            end = curve.ends[end_at(t)]
            for name, buffer in network.named_buffers():
                buffer.copy_(end[name])
            return network

        return load

    return on_curve


def _initial(network: nn.Module, curve: Curve, _calibration: Images | None) -> LoadPoint:
    """Mean 0 and variance 1, as in a network that was just made."""

    def load(t: float) -> nn.Module:
        network.load_state_dict(curve.point(t))
        for layer in batch_norms(network):
            layer.reset_running_stats()
        return network

    return load


def _of_batches(network: nn.Module, curve: Curve, _calibration: Images | None) -> LoadPoint:
    """No running statistics: each batch that is measured is normalized by its own, as in training."""
    for layer in batch_norms(network):
        layer.track_running_stats = False
        layer.running_mean = layer.running_var = layer.num_batches_tracked = None

    def load(t: float) -> nn.Module:
        point = curve.point(t)
        network.load_state_dict({name: point[name] for name in network.state_dict()})
        return network

    return load


def _recalibrated(network: nn.Module, curve: Curve, calibration: Images | None) -> LoadPoint:
    """Reset, then a cumulative average over both training sides, in batches that mix the two."""

    def load(t: float) -> nn.Module:
        network.load_state_dict(curve.point(t))
        recalibrate(network, mixed_batches(calibration))
        return network

    return load


def _repaired(network: nn.Module, curve: Curve, calibration: Images | None) -> LoadPoint:
    """Every hidden unit's mean and deviation lie between the ends', which are measured at the first point."""

    def batches() -> Iterator[Tensor]:
        return mixed_batches(calibration)

    @functools.cache
    def of_ends() -> EndStatistics:
        complete(network, next(batches())[:2])
        return measure_ends(network, curve.ends, batches)

    def load(t: float) -> nn.Module:
        ends = of_ends()
        network.load_state_dict(complete_state(network, curve.point(t)))
        repair(network, ends, t, batches)
        return network

    return load


def _weigh_on_plane(network: nn.Module, corners: Corners, shares: Shares, _calibration: Images | None) -> None:
    """Buffers are weighted like weights; beyond an edge the weights are clipped to the triangle."""
    between = barycentric_point(corners, clip_to_triangle(shares))
    for name, buffer in network.named_buffers():
        buffer.copy_(between[name])


def _recalibrate_on_plane(network: nn.Module, _corners: Corners, _shares: Shares, calibration: Images | None) -> None:
    recalibrate(network, mixed_batches(calibration))


BN_POLICIES: Mapping[str, BatchNormPolicy] = {
    "interpolate": BatchNormPolicy(False, _interpolated, _weigh_on_plane),
    "recalibrate": BatchNormPolicy(True, _recalibrated, _recalibrate_on_plane),
    "nearest": BatchNormPolicy(False, _from_end(lambda t: 0 if t <= 0.5 else 1)),
    "repair": BatchNormPolicy(True, _repaired),
    "a": BatchNormPolicy(False, _from_end(lambda _t: 0)),
    "b": BatchNormPolicy(False, _from_end(lambda _t: 1)),
    "initial": BatchNormPolicy(False, _initial),
    "batch": BatchNormPolicy(False, _of_batches),
}
"""Name -> policy. `config.path` holds the names again, because the flags must not import PyTorch."""
