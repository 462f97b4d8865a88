"""Rescales hidden units between positively homogeneous activations, which leaves a network's function as it is.

A unit between ReLUs may have its incoming weights multiplied by s > 0 and its outgoing ones divided by s. Two networks
of one function that differ in these scales have a barrier between them.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from lmc_mlflow.alignment.symmetry import Symmetry
from lmc_mlflow.seeds import stream
from lmc_mlflow.weights import State

TOLERANCE = 1e-3
"""Largest difference that rescaling may make in outputs, over the largest output."""
BALANCING_SWEEPS = 20
NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)
Place = tuple[str, int]
"""A tensor and one of its axes."""


@dataclass(frozen=True)
class ScaledGroup:
    """A group of units that may be rescaled.

    Attributes:
        name: of the group in the symmetry.
        makers: tensors whose entries make the units, with the axis along which the units stand.
        users: tensors that take the units in.
    """

    name: str
    makers: tuple[Place, ...]
    users: tuple[Place, ...]


@torch.no_grad()
def find_scaled_groups(network: nn.Module, symmetry: Symmetry, state: State, images: Tensor) -> list[ScaledGroup]:
    """List the groups of units that may be rescaled: those for which random scales keep the network's outputs.

    Args:
        network: in evaluation mode; not changed.
        symmetry: of the network.
        state: weights with which it is tried.
        images: a few (n, C, H, W), on the device of the network.
    """
    network = copy.deepcopy(network).eval()
    norms = {name for name, module in network.named_modules() if isinstance(module, NORMS)}
    buffers = {name for name, _ in network.named_buffers()}
    before = functional_call(network, dict(state), (images,))
    found = []
    for name, size in symmetry.sizes.items():
        if name in symmetry.parents:  # units inside blocks are rescaled with their block
            continue
        group = _group(symmetry, name, norms, buffers)
        scales = torch.rand(size, generator=stream(0, f"rescaling/{name}"), dtype=torch.float64) * 1.5 + 0.5
        after = functional_call(network, scale_units(symmetry, group, state, scales), (images,))
        difference = float((after - before).abs().max()) / max(float(before.abs().max()), 1e-30)
        if group.makers and group.users and difference <= TOLERANCE:
            found.append(group)
    return found


def _group(symmetry: Symmetry, name: str, norms: set[str], buffers: set[str]) -> ScaledGroup:
    """The tensors of a group; behind a normalization the units are made by the weights of these."""
    places = [(tensor, axis) for tensor, axis in symmetry.tensors(name) if tensor not in buffers]
    places = [(tensor, i) for tensor, i in places if any(part.group == name for part in symmetry.axes[tensor][i])]
    makers = [place for place in places if place[1] == 0]
    of_norms = [place for place in makers if place[0].rpartition(".")[0] in norms]
    return ScaledGroup(name, tuple(of_norms or makers), tuple(place for place in places if place[1] != 0))


def scale_units(symmetry: Symmetry, group: ScaledGroup, state: State, scales: Tensor) -> dict[str, Tensor]:
    """Multiply what makes each unit by its scale, and divide what takes it in; other tensors are passed on.

    Args:
        symmetry: of the network.
        group: of the units.
        state: weights.
        scales: (n,) above 0, one a unit.
    """
    changed = dict(state)
    for places, factors in ((group.makers, scales), (group.users, 1 / scales)):
        for name, axis in places:
            changed[name] = _scale_axis(symmetry, group.name, changed[name], (name, axis), factors)
    return changed


def _scale_axis(symmetry: Symmetry, group: str, value: Tensor, place: Place, factors: Tensor) -> Tensor:
    name, axis = place
    entries = [
        factors.repeat_interleave(part.repeat)
        if part.group == group
        else torch.ones(part.size * part.repeat, dtype=factors.dtype)
        for part in symmetry.axes[name][axis]
    ]
    shape = [1] * value.ndim
    shape[axis] = -1
    return (value.double() * torch.cat(entries).to(value.device).view(shape)).to(value.dtype)


def rescale_towards(symmetry: Symmetry, groups: Sequence[ScaledGroup], a: State, b: State) -> dict[str, Tensor]:
    """Rescale the units of B so that the weights that make each unit have the norm that they have in A.

    Args:
        symmetry: of both.
        groups: from `find_scaled_groups`, in the order of the layers.
        a: state that stays.
        b: state whose units are rescaled; a new one is returned.
    """
    return _rescale(
        symmetry, groups, b, lambda group, state: _norms(symmetry, group, a) / _norms(symmetry, group, state)
    )


def balance(symmetry: Symmetry, groups: Sequence[ScaledGroup], state: State) -> dict[str, Tensor]:
    """Rescale units so that what makes and what takes in each unit have one norm, whatever their scales were before."""
    for _ in range(BALANCING_SWEEPS):
        state = _rescale(
            symmetry,
            groups,
            state,
            lambda group, own: (_norms(symmetry, group, own, makers=False) / _norms(symmetry, group, own)).sqrt(),
        )
    return dict(state)


def _rescale(
    symmetry: Symmetry,
    groups: Sequence[ScaledGroup],
    state: State,
    scales_of: Callable[[ScaledGroup, State], Tensor],
) -> dict[str, Tensor]:
    """Rescale group after group; units without weights, or with weights that are no numbers, keep their scale."""
    changed = dict(state)
    for group in groups:
        scales = scales_of(group, changed)
        usable = scales.isfinite() & (scales > 0)
        changed = scale_units(symmetry, group, changed, torch.where(usable, scales, 1.0))
    return changed


def _norms(symmetry: Symmetry, group: ScaledGroup, state: State, makers: bool = True) -> Tensor:
    """Norm (n,) of all entries that make each unit, or of all that take it in."""
    size = symmetry.sizes[group.name]
    total = torch.zeros(size, dtype=torch.float64)
    for name, axis in group.makers if makers else group.users:
        value, start = state[name].double().cpu(), 0
        squares = value.square().movedim(axis, 0).flatten(1).sum(1) if value.ndim > 1 else value.square()
        for part in symmetry.axes[name][axis]:
            length = part.size * part.repeat
            if part.group == group.name:
                total += squares[start : start + length].view(part.size, part.repeat).sum(1)
            start += length
    return total.sqrt()


def scales_between(symmetry: Symmetry, groups: Sequence[ScaledGroup], a: State, b: State) -> Mapping[str, Tensor]:
    """Give for each group the norms (n,) of A's units over those of B's."""
    return {group.name: _norms(symmetry, group, a) / _norms(symmetry, group, b) for group in groups}
