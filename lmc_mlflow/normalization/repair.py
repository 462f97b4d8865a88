"""What are hidden units' statistics on a path? Those between the ends' (REPAIR, Jordan et al. 2023).

The units of an interpolated network vary less than those of the networks it lies between, the less the deeper
they lie. Here every hidden unit is scaled and shifted so that its mean and its standard deviation over the
training images are (1 - alpha) times A's plus alpha times B's. The scale and the shift are taken into the
network's own weights.

All layers are repaired in one pass: in each batch a layer's units are given the ends' statistics on this very
batch, so that the layers behind it see repaired inputs. What is kept is found from all batches together. At an end
nothing is changed, to the last bit, and nothing jumps beside it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lmc_mlflow.normalization.units import Moments, Record, is_norm, record, together, unit_layers, watching
from lmc_mlflow.weights import State

CONSTANT = 1e-6
"""A unit whose deviation is below this share of the wanted one is constant but for rounding: it is shifted alone."""
Batches = Callable[[], Iterable[Tensor]]
"""Hands out the same batches every time."""


@dataclass(frozen=True)
class Measured:
    """What the units of both ends do, batch by batch.

    Attributes:
        layers: that make hidden units.
        records: of A and of B.
    """

    layers: tuple[str, ...]
    records: tuple[Record, Record]

    def wanted(self, alpha: float, batches: slice, name: str) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (C,) that a layer's units are to have at a point of the path."""
        a, b = (together(of_end[batches], name) for of_end in self.records)
        return (1 - alpha) * a.mean + alpha * b.mean, (1 - alpha) * a.var.sqrt() + alpha * b.var.sqrt()


def complete(network: nn.Module, images: Tensor) -> None:
    """Give layers of hidden units the bias (or scale) that a shift is taken into, where they have none (in place).

    What the network computes stays the same.
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


def completed(network: nn.Module, state: State) -> dict[str, Tensor]:
    """The state, with ones for scales and zeros for biases that only a network made complete has."""
    added = {name: tensor for name, tensor in network.state_dict().items() if name not in state}
    fill = {name: torch.ones_like if name.endswith("weight") else torch.zeros_like for name in added}
    return {**state, **{name: fill[name](tensor) for name, tensor in added.items()}}


def measure_ends(network: nn.Module, ends: tuple[State, State], batches: Batches) -> Measured:
    """What the units of both ends do on the batches; the network is left as B (its weights are overwritten).

    Args:
        network: made complete.
        ends: states of A and B.
        batches: images of both training sides.
    """
    layers = unit_layers(network, next(iter(batches()))[:2])
    records = []
    for end in ends:
        network.load_state_dict(completed(network, end))
        records.append(record(network, layers, batches()))
    return Measured(layers, (records[0], records[1]))


@torch.no_grad()
def repair(network: nn.Module, ends: Measured, alpha: float, batches: Batches) -> None:
    """Give the hidden units of an interpolated network the statistics that lie between the ends' (in place).

    Args:
        network: made complete, at alpha, in evaluation mode.
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

    with watching(network, ends.layers, see):
        for images in batches():
            found.append({})
            network(images)
    for name in ends.layers:
        scale, shift = _change(together(found, name), ends.wanted(alpha, slice(None), name))
        weight, bias = plain[name]
        modules[name].weight.copy_(weight * scale.view(-1, *[1] * (weight.ndim - 1)))
        modules[name].bias.copy_(bias * scale + shift)


def _change(found: Moments, wanted: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Scale and shift (C,) float64 that give units of these moments the wanted mean and deviation."""
    mean, deviation = wanted
    now = found.var.sqrt()
    scale = torch.where(now > CONSTANT * deviation, deviation / now, torch.ones_like(now))
    return scale, mean - scale * found.mean
