"""Measures how far a network in training has moved: from where it started, and along its way."""

import torch
from torch import Tensor, nn

from lmc_mlflow.models.parameters import trainable


class Displacement:
    """The way of a network's trained parameters, from epoch to epoch.

    Attributes:
        length: sum over the epochs of the Euclidean distance between the weights before and after each; None: not
            known, as an earlier version trained the first epochs.
    """

    def __init__(self, network: nn.Module) -> None:
        """Start where the network is."""
        self._network = network
        self._names = trainable(network)
        self._start = self._copy()
        self._last = self._start
        self.length: Tensor | None = torch.zeros((), dtype=torch.float64)

    def advance(self) -> dict[str, float]:
        """Measure after an epoch: `distance_from_start`, and `path_length` if it is known."""
        here = self._copy()
        found = {"distance_from_start": _distance(self._start, here).item()}
        if self.length is not None:
            self.length = self.length + _distance(self._last, here).cpu()
            found["path_length"] = self.length.item()
        self._last = here
        return found

    def restore(self, length: Tensor | None) -> None:
        """Go on from where the network was put, after a way of this length."""
        self.length, self._last = length, self._copy()

    @torch.no_grad()
    def _copy(self) -> list[Tensor]:
        known = dict(self._network.named_parameters())
        return [known[name].detach().clone(memory_format=torch.contiguous_format) for name in self._names]


def _distance(first: list[Tensor], second: list[Tensor]) -> Tensor:
    squares = [(b.double() - a.to(b.device).double()).square().sum() for a, b in zip(first, second, strict=True)]
    return torch.stack(squares).sum().sqrt()
