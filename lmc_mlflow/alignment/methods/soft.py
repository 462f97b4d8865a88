"""What is a soft permutation, and how does it move a network's tensors so that gradients pass?"""

from collections.abc import Mapping

import torch
from torch import Tensor

from lmc_mlflow.alignment.symmetry import Parts, Symmetry


def sinkhorn(scores: Tensor, num_normalizations: int) -> Tensor:
    """The doubly stochastic matrix (n, n) that rows and columns of exp(scores) are normalized to, in turn.

    Sinkhorn (1964), in logarithms: nothing overflows, however low the temperature.
    """
    for _ in range(num_normalizations):
        scores = scores - scores.logsumexp(dim=1, keepdim=True)
        scores = scores - scores.logsumexp(dim=0, keepdim=True)
    return scores.exp()


def permute_softly(symmetry: Symmetry, name: str, value: Tensor, matrices: Mapping[str, Tensor]) -> Tensor:
    """One tensor of the state, its axes multiplied by the groups' matrices: new unit i is sum_j P[i, j] old_j."""
    for axis, parts in enumerate(symmetry.axes[name]):
        if any(part.group is not None for part in parts):
            value = _along(value.movedim(axis, 0), parts, matrices).movedim(0, axis)
    return value


def _along(value: Tensor, parts: Parts, matrices: Mapping[str, Tensor]) -> Tensor:
    made, start = [], 0
    for part in parts:
        end = start + part.size * part.repeat
        here = value[start:end]
        if part.group is not None:
            here = (matrices[part.group] @ here.reshape(part.size, -1)).reshape(here.shape)
        made.append(here)
        start = end
    return torch.cat(made)
