"""Which units of an MLP are redundant, and what is the network without them? Dead, alike, or weak units.

A ReLU (leaky or not) is positively homogeneous: relu(c x) = c relu(x) for c >= 0. So a unit whose incoming
weights with bias are c times another's puts out c times what the other does, and the two are one unit whose
outgoing weights are w_i + c w_j. Where the cosine is below 1 the merged network is an approximation.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lmc_mlflow.config.ensemble_and_prune import PruneConfig

Layer = tuple[Tensor, Tensor]
"""Weights (out, in) and bias (out,)."""
FATES = ("kept", "merged", "weak", "dead")


@dataclass(frozen=True)
class Units:
    """Units of one hidden layer.

    Attributes:
        indices: (n,) their places in the layer, ascending.
        incoming: (n, d + 1) weights, then the bias.
        outgoing: (n, m).
    """

    indices: Tensor
    incoming: Tensor
    outgoing: Tensor

    def chosen(self, mask: Tensor) -> "Units":
        """Those for which `mask` (n,) is true."""
        return Units(self.indices[mask], self.incoming[mask], self.outgoing[mask])

    def strengths(self) -> Tensor:
        """(n,) norm of the incoming weights with bias times norm of the outgoing weights: unlike either, no
        rescaling of the unit changes it."""
        norms: Tensor = self.incoming.norm(dim=1) * self.outgoing.norm(dim=1)
        return norms


@dataclass(frozen=True)
class Reduced:
    """An MLP without its redundant units.

    Attributes:
        layers: double precision, the hidden ones as narrow as they became (a width of 0 is possible).
        kept: of each hidden layer, (k,) the places that the units left had in it.
        fates: of each hidden layer, a row of `FATES` for every unit it had; a unit that took others in is kept.
    """

    layers: tuple[Layer, ...]
    kept: tuple[Tensor, ...]
    fates: tuple[tuple[str, ...], ...]


def prune(
    layers: Sequence[Layer],
    activation: Callable[[Tensor], Tensor],
    batches: Callable[[], Iterable[Tensor]],
    rules: PruneConfig,
) -> Reduced:
    """Drop dead units, merge those that are alike, drop the weak ones, from the first hidden layer to the last.

    Each layer is judged in the network whose earlier layers are pruned already.

    Args:
        layers: of the network, the output layer last; not changed.
        activation: positively homogeneous, behind every hidden layer.
        batches: gives the training images (n, d) anew; looked at under `drop_dead` alone.
        rules: what counts as redundant.
    """
    current = [(weight.double(), bias.double()) for weight, bias in layers]
    kept, fates = [], []
    for i in range(len(current) - 1):
        bias, (following, following_bias) = current[i][1], current[i + 1]
        units = Units(torch.arange(len(bias), device=bias.device), incoming(current[i]), following.T)
        fate = ["kept"] * len(bias)
        if rules.drop_dead:
            alive = _alive(current[: i + 1], activation, batches())
            units = _without(units, alive, "dead", fate)
        units = merge(units, rules.merge_cosine, rules.merge_to, fate)
        strengths = units.strengths()
        strong = strengths >= rules.drop_below * strengths.mean()
        units = _without(units, strong, "weak", fate)
        current[i] = (units.incoming[:, :-1], units.incoming[:, -1])
        current[i + 1] = (units.outgoing.T, following_bias)
        kept.append(units.indices)
        fates.append(tuple(fate))
    return Reduced(tuple(current), tuple(kept), tuple(fates))


def incoming(layer: Layer) -> Tensor:
    """(n, d + 1) what goes into each unit: its weights, then its bias."""
    return torch.cat([layer[0], layer[1][:, None]], dim=1)


def cosines(vectors: Tensor) -> Tensor:
    """(n, n) cosines between rows (n, d); 0 with a row of zeros."""
    norms = vectors.norm(dim=1, keepdim=True)
    directions = torch.where(norms > 0, vectors / norms, torch.zeros_like(vectors))
    return (directions @ directions.T).clamp(-1, 1)


def merge(units: Units, merge_cosine: float, merge_to: str, fate: list[str]) -> Units:
    """Let units take in those that are alike, strongest first.

    The strongest unit that is left takes in all that are left and whose cosine with it exceeds `merge_cosine`, and
    so on: every unit is alike to the one that took it in, and not only by way of others. With incoming vectors
    v_j, unit i keeps the norm |v_i|, and its outgoing weights become the sum of |v_j| / |v_i| times w_j.

    Args:
        units: of one hidden layer.
        merge_cosine: as in `PruneConfig`.
        merge_to: `strongest`, unit i keeps its direction, or `mean`, of the directions weighted by strength.
        fate: of the layer's units; those taken in become `merged` (in place).
    """
    alike = cosines(units.incoming) > merge_cosine
    strengths = units.strengths()
    norms = units.incoming.norm(dim=1)
    new_incoming, new_outgoing = units.incoming.clone(), units.outgoing.clone()
    free = torch.ones(len(strengths), dtype=torch.bool, device=strengths.device)
    leads = torch.zeros_like(free)
    for i in strengths.argsort(descending=True, stable=True).tolist():
        if not free[i]:
            continue
        leads[i] = True
        group = alike[i] & free
        group[i] = True
        free &= ~group
        if int(group.sum()) == 1:
            continue
        new_outgoing[i] = (norms[group] / norms[i]) @ units.outgoing[group]
        if merge_to == "mean":
            direction = (strengths[group] / norms[group]) @ units.incoming[group]
            if direction.norm() > 0:  # 0: units without any effect
                new_incoming[i] = direction * (norms[i] / direction.norm())
    return _without(Units(units.indices, new_incoming, new_outgoing), leads, "merged", fate)


def _without(units: Units, stay: Tensor, why: str, fate: list[str]) -> Units:
    for index in units.indices[~stay].tolist():
        fate[index] = why
    return units.chosen(stay)


def _alive(layers: Sequence[Layer], activation: Callable[[Tensor], Tensor], batches: Iterable[Tensor]) -> Tensor:
    """(n,) whether a unit of the last of these layers ever puts out anything but 0."""
    largest = torch.zeros_like(layers[-1][1])
    for images in batches:
        hidden = images.double()
        for weight, bias in layers:
            hidden = activation(torch.nn.functional.linear(hidden, weight, bias))
        largest = torch.maximum(largest, hidden.abs().amax(dim=0))
    return largest > 0


def widened(layers: Sequence[Layer], places: Sequence[Tensor], widths: Sequence[int]) -> list[Layer]:
    """The same function in wider hidden layers: zeros in and out of the units that are added.

    Args:
        layers: of a network.
        places: of each hidden layer, (k,) where its units go.
        widths: of each hidden layer, the new width.
    """
    found = []
    for i, (weight, bias) in enumerate(layers):
        is_output = i == len(layers) - 1
        rows = torch.arange(len(bias), device=bias.device) if is_output else places[i]
        columns = torch.arange(weight.shape[1], device=bias.device) if i == 0 else places[i - 1]
        num_rows = len(bias) if is_output else widths[i]
        wide = weight.new_zeros(num_rows, weight.shape[1] if i == 0 else widths[i - 1])
        wide[rows[:, None], columns] = weight
        found.append((wide, bias.new_zeros(num_rows).index_copy(0, rows, bias)))
    return found
