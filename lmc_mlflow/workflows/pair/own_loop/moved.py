"""Measures how far a network has moved that a loop of a user's own trains."""

import torch
from torch import Tensor, nn

from lmc_mlflow.models.parameters import trainable
from lmc_mlflow.training.displacement import Displacement
from lmc_mlflow.weights import State, euclidean_squared

DISTANCE, LENGTH = "distance_from_start", "path_length"


class MovedNetwork:
    """The way of a network's trained parameters, as `Displacement` measures it, as far as a loader can know it.

    Known are the network where it starts, as it is each time that the loader was gone through to its end, and what is
    logged. Where that is not the network which the loop was given, trained in place, only its distance from the start
    is known.
    """

    def __init__(self, network: nn.Module) -> None:
        """Start where the network is."""
        self._network = network
        self._names = trainable(network)
        self._start = _copy(network.state_dict())
        self._way = Displacement(network)
        self._by_epoch: dict[int, dict[str, float]] = {}
        self._is_known = True

    def on_epoch(self, epoch: int) -> None:
        """Measure after an epoch; nothing more from where the network has got other parameters on."""
        self._is_known = self._is_known and trainable(self._network) == self._names
        if self._is_known:
            self._by_epoch[epoch] = self._way.advance()

    def by_epoch(self, state: State, last: int) -> dict[int, dict[str, float]]:
        """Return epoch -> `distance_from_start` and, where it is known, `path_length`, up to the logged network.

        Args:
            state: of the network that is logged.
            last: its epoch, unless the loader was gone through more often.
        """
        here = _copy(state)
        last = max([last, *self._by_epoch])
        if not self._is_known or not _equal(here, _copy(self._network.state_dict())):
            return {last: {DISTANCE: euclidean_squared(self._start, here, self._names) ** 0.5}}
        found = self._way.advance()  # steps after the last whole epoch, or of a loop that has its own batches
        if not self._by_epoch:
            del found[LENGTH]
        return self._by_epoch | {last: found}


def _copy(state: State) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in state.items()}


def _equal(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
