"""Removes redundant units from MLPs: units that are dead, similar to another, or weak.

A ReLU (leaky or not) is positively homogeneous: relu(c x) = c relu(x) for c >= 0. If the incoming weights and the bias
of one unit are c times those of another, its output is c times the other's, and both can be merged into one unit with
the outgoing weights w_i + c w_j. Where the cosine is below 1 the merged network is an approximation.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lmc_mlflow.config.ensemble_and_prune import PruneConfig

LinearLayer = tuple[Tensor, Tensor]
"""Weights (out, in) and bias (out,)."""
UNIT_STATUSES = ("kept", "merged", "weak", "dead")
"""What pruning does to a unit: keeps it, merges it into another, or drops it because it is weak or dead."""


@dataclass(frozen=True)
class Units:
    """Units of one hidden layer.

    Attributes:
        indices: (n,) their positions in the layer, ascending.
        incoming: (n, d + 1) weights, then the bias.
        outgoing: (n, m).
    """

    indices: Tensor
    incoming: Tensor
    outgoing: Tensor

    def select(self, mask: Tensor) -> "Units":
        """Return the units for which `mask` (n,) is true."""
        return Units(self.indices[mask], self.incoming[mask], self.outgoing[mask])

    def strengths(self) -> Tensor:
        """Return (n,) the norm of the incoming weights and bias times the norm of the outgoing weights.

        No rescaling of a unit changes this product.
        """
        norms: Tensor = self.incoming.norm(dim=1) * self.outgoing.norm(dim=1)
        return norms


@dataclass(frozen=True)
class PrunedMLP:
    """An MLP without its redundant units.

    Attributes:
        layers: in double precision, the hidden ones with the units that are left (a width of 0 is possible).
        kept: for each hidden layer, (k,) the positions in the original layer of the units that are left.
        statuses: for each hidden layer, one of `UNIT_STATUSES` for every unit of the original layer; a unit into
            which others were merged is kept.
    """

    layers: tuple[LinearLayer, ...]
    kept: tuple[Tensor, ...]
    statuses: tuple[tuple[str, ...], ...]


def prune(
    layers: Sequence[LinearLayer],
    activation: Callable[[Tensor], Tensor],
    batches: Callable[[], Iterable[Tensor]],
    rules: PruneConfig,
) -> PrunedMLP:
    """Drop dead units, merge similar ones and drop weak ones, from the first hidden layer to the last.

    Each layer is judged in the network whose earlier layers are pruned already.

    Args:
        layers: of the network, the output layer last; not changed.
        activation: positively homogeneous, after every hidden layer.
        batches: returns the training images, in batches (n, d), at every call; called only under `drop_dead`.
        rules: what counts as redundant.
    """
    current = [(weight.double(), bias.double()) for weight, bias in layers]
    kept, statuses = [], []
    for i in range(len(current) - 1):
        bias, (following, following_bias) = current[i][1], current[i + 1]
        units = Units(torch.arange(len(bias), device=bias.device), incoming_weights(current[i]), following.T)
        status = ["kept"] * len(bias)
        if rules.drop_dead:
            alive = _alive(current[: i + 1], activation, batches())
            units = _without(units, alive, "dead", status)
        units = merge(units, rules.merge_cosine, rules.merge_to, status)
        strengths = units.strengths()
        strong = strengths >= rules.drop_below * strengths.mean()
        units = _without(units, strong, "weak", status)
        current[i] = (units.incoming[:, :-1], units.incoming[:, -1])
        current[i + 1] = (units.outgoing.T, following_bias)
        kept.append(units.indices)
        statuses.append(tuple(status))
    return PrunedMLP(tuple(current), tuple(kept), tuple(statuses))


def incoming_weights(layer: LinearLayer) -> Tensor:
    """Return (n, d + 1) the incoming weights of each unit, followed by its bias."""
    return torch.cat([layer[0], layer[1][:, None]], dim=1)


def cosines(vectors: Tensor) -> Tensor:
    """Compute the cosines (n, n) between rows (n, d); 0 with a row of zeros."""
    norms = vectors.norm(dim=1, keepdim=True)
    directions = torch.where(norms > 0, vectors / norms, torch.zeros_like(vectors))
    return (directions @ directions.T).clamp(-1, 1)


def merge(units: Units, merge_cosine: float, merge_to: str, status: list[str]) -> Units:
    """Merge similar units, starting at the strongest.

    All units whose cosine with the strongest exceeds `merge_cosine` are merged into it, then the same is done with the
    strongest of the units that are left, and so on. So every unit is similar to the one that it is merged into, not
    only to a third one. With incoming vectors v_j, unit i keeps the norm |v_i|, and its outgoing weights become
    the sum of |v_j| / |v_i| times w_j.

    Args:
        units: of one hidden layer.
        merge_cosine: as in `PruneConfig`.
        merge_to: `strongest`, unit i keeps its direction; or `mean`, of the directions weighted by strength.
        status: of every unit of the original layer; units merged into another become `merged` (in place).
    """
    similar = cosines(units.incoming) > merge_cosine
    strengths = units.strengths()
    norms = units.incoming.norm(dim=1)
    new_incoming, new_outgoing = units.incoming.clone(), units.outgoing.clone()
    free = torch.ones(len(strengths), dtype=torch.bool, device=strengths.device)
    remains = torch.zeros_like(free)
    for i in strengths.argsort(descending=True, stable=True).tolist():
        if not free[i]:
            continue
        remains[i] = True
        group = similar[i] & free
        group[i] = True
        free &= ~group
        if int(group.sum()) == 1:
            continue
        new_outgoing[i] = (norms[group] / norms[i]) @ units.outgoing[group]
        if merge_to == "mean":
            direction = (strengths[group] / norms[group]) @ units.incoming[group]
            if direction.norm() > 0:  # 0: units without any effect
                new_incoming[i] = direction * (norms[i] / direction.norm())
    return _without(Units(units.indices, new_incoming, new_outgoing), remains, "merged", status)


def _without(units: Units, stay: Tensor, why: str, status: list[str]) -> Units:
    for index in units.indices[~stay].tolist():
        status[index] = why
    return units.select(stay)


def _alive(layers: Sequence[LinearLayer], activation: Callable[[Tensor], Tensor], batches: Iterable[Tensor]) -> Tensor:
    """Tell (n,) which units of the last of these layers have an output other than 0 for some image."""
    largest = torch.zeros_like(layers[-1][1])
    for images in batches:
        hidden = images.double()
        for weight, bias in layers:
            hidden = activation(torch.nn.functional.linear(hidden, weight, bias))
        largest = torch.maximum(largest, hidden.abs().amax(dim=0))
    return largest > 0


def widen(layers: Sequence[LinearLayer], positions: Sequence[Tensor], widths: Sequence[int]) -> list[LinearLayer]:
    """Write the same function with wider hidden layers; the added units have zero weights.

    Args:
        layers: of a network.
        positions: for each hidden layer, (k,) where its units go.
        widths: for each hidden layer, the new width.
    """
    found = []
    for i, (weight, bias) in enumerate(layers):
        is_output = i == len(layers) - 1
        rows = torch.arange(len(bias), device=bias.device) if is_output else positions[i]
        columns = torch.arange(weight.shape[1], device=bias.device) if i == 0 else positions[i - 1]
        num_rows = len(bias) if is_output else widths[i]
        wide = weight.new_zeros(num_rows, weight.shape[1] if i == 0 else widths[i - 1])
        wide[rows[:, None], columns] = weight
        found.append((wide, bias.new_zeros(num_rows).index_copy(0, rows, bias)))
    return found
