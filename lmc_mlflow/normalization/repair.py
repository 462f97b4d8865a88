"""Rescales the hidden units of an interpolated network to statistics between those of the ends (REPAIR).

Jordan et al. (2023): the units of an interpolated network vary less over the images than those of the two ends, and
deeper layers more so. Here every hidden unit is scaled and shifted so that its mean and its standard deviation over
the training images are (1 - alpha) times A's plus alpha times B's. The scale and the shift become part of the
network's own weights.

All layers are repaired in one pass: in each batch the units of a layer are given the statistics of the ends on the same
batch, so that the following layers get repaired inputs. The final scales and shifts are computed from all batches
together. At an end nothing changes, to the last bit, and the path is continuous there.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lmc_mlflow.normalization.units import (
    Moments,
    MomentsByBatch,
    is_norm,
    observe_units,
    pool_moments,
    record_moments,
    unit_layers,
)
from lmc_mlflow.weights import State

CONSTANT = 1e-6
"""A unit whose deviation is below this share of the wanted one is constant up to rounding: it is only shifted."""
BatchSource = Callable[[], Iterable[Tensor]]
"""Returns the same batches of images at every call."""


@dataclass(frozen=True)
class EndStatistics:
    """Moments of the hidden units of both ends, batch by batch.

    Attributes:
        layers: whose outputs are hidden units.
        records: of A and of B.
    """

    layers: tuple[str, ...]
    records: tuple[MomentsByBatch, MomentsByBatch]

    def wanted(self, alpha: float, batches: slice, name: str) -> tuple[Tensor, Tensor]:
        """Compute the mean and standard deviation (C,) that the units of a layer should have at a point of the path."""
        a, b = (pool_moments(of_end[batches], name) for of_end in self.records)
        return (1 - alpha) * a.mean + alpha * b.mean, (1 - alpha) * a.var.sqrt() + alpha * b.var.sqrt()


def complete(network: nn.Module, images: Tensor) -> None:
    """Add the biases and scales that REPAIR changes to layers of hidden units that lack them (in place).

    The function of the network stays the same.
    """
    modules = dict(network.named_modules())
    for name in unit_layers(network, images):
        module = modules[name]
        units = module.running_var if is_norm(module) else module.weight.detach().flatten(1)[:, 0]
        assert isinstance(units, Tensor)
        for key, filled in (("weight", torch.ones_like(units)), ("bias", torch.zeros_like(units))):
            if getattr(module, key) is None:
                setattr(module, key, nn.Parameter(filled, requires_grad=False))
        if is_norm(module):
            module.affine = True


def complete_state(network: nn.Module, state: State) -> dict[str, Tensor]:
    """Return the state with ones for scales and zeros for biases that `complete` added to the network."""
    added = {name: tensor for name, tensor in network.state_dict().items() if name not in state}
    fill = {name: torch.ones_like if name.endswith("weight") else torch.zeros_like for name in added}
    return {**state, **{name: fill[name](tensor) for name, tensor in added.items()}}


def measure_ends(network: nn.Module, ends: tuple[State, State], batches: BatchSource) -> EndStatistics:
    """Compute the moments of the units of both ends on the batches.

    Args:
        network: after `complete`; its weights are overwritten, at last by B's.
        ends: states of A and B.
        batches: images of both training sides.
    """
    layers = unit_layers(network, next(iter(batches()))[:2])
    records = []
    for end in ends:
        network.load_state_dict(complete_state(network, end))
        records.append(record_moments(network, layers, batches()))
    return EndStatistics(layers, (records[0], records[1]))


@torch.no_grad()
def repair(network: nn.Module, ends: EndStatistics, alpha: float, batches: BatchSource) -> None:
    """Rescale the hidden units of an interpolated network to statistics between those of the ends (in place).

    Args:
        network: after `complete`, with the weights at alpha, in evaluation mode.
        ends: from `measure_ends`, over the same batches.
        alpha: 0 at A, 1 at B.
        batches: images of both training sides.
    """
    modules = dict(network.named_modules())
    plain = {name: (modules[name].weight.clone(), modules[name].bias.clone()) for name in ends.layers}
    found: list[dict[str, Moments]] = []

    def see(name: str, moments: Moments) -> tuple[Tensor, Tensor]:
        found[-1][name] = moments
        i = len(found) - 1
        return _change(moments, ends.wanted(alpha, slice(i, i + 1), name))

    with observe_units(network, ends.layers, see):
        for images in batches():
            found.append({})
            network(images)
    for name in ends.layers:
        scale, shift = _change(pool_moments(found, name), ends.wanted(alpha, slice(None), name))
        weight, bias = plain[name]
        modules[name].weight.copy_(weight * scale.view(-1, *[1] * (weight.ndim - 1)))
        modules[name].bias.copy_(bias * scale + shift)


def _change(found: Moments, wanted: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Compute scale and shift (C,) float64 that give units of these moments the wanted mean and deviation."""
    mean, deviation = wanted
    now = found.var.sqrt()
    scale = torch.where(now > CONSTANT * deviation, deviation / now, torch.ones_like(now))
    return scale, mean - scale * found.mean
