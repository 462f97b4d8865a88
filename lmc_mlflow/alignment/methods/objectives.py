"""What do soft permutations bring down? The distance to A, or the loss between A and the permuted B."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lmc_mlflow.normalization import batch_norms
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.predictions.scores import mean_loss
from lmc_mlflow.weights import State

PLACES = (0.25, 0.5, 0.75)
"""Alphas at which hard permutations are judged when the loss along the path counts."""
Batches = Sequence[tuple[Tensor, Tensor]]


class Goal(Protocol):
    """Something to bring down, of B's tensors after they have been moved."""

    names: list[str]
    """Of the tensors it looks at."""

    def soft(self, moved: State, step: int, draws: torch.Generator) -> Tensor:
        """What is differentiated in one step."""
        ...

    def hard(self, moved: State) -> float:
        """What hard permutations are judged by."""
        ...


class Distance:
    """Sum of squared differences of the weights."""

    def __init__(self, a: State, names: list[str]) -> None:
        self.a, self.names = a, names
        self.scale = sum(float(a[name].double().square().sum()) for name in names)

    def soft(self, moved: State, step: int, draws: torch.Generator) -> Tensor:
        """Over A's squared length, so that it does not depend on the network's size."""
        del step, draws
        return torch.stack([(self.a[name] - moved[name]).square().sum() for name in self.names]).sum() / self.scale

    def hard(self, moved: State) -> float:
        """As it is."""
        return sum(float((self.a[name].double() - moved[name].double()).square().sum()) for name in self.names)


class SegmentLoss:
    """Mean loss between A and B. Batch norm normalizes by the batch, as if it had been recalibrated there."""

    def __init__(self, network: nn.Module, a: State, batches: Batches, places: Sequence[float], drawn: bool) -> None:
        self.network = copy.deepcopy(network).eval()
        for layer in batch_norms(self.network):
            layer.train()
        self.names = [name for name, _ in network.named_parameters()]
        self.a = {name: value.detach() for name, value in a.items()}
        self.batches, self.places, self.drawn = batches, places, drawn

    def soft(self, moved: State, step: int, draws: torch.Generator) -> Tensor:
        """On one batch, at the place or at one drawn uniformly."""
        alpha = float(torch.rand((), generator=draws)) if self.drawn else self.places[0]
        return self._loss(moved, alpha, *self.batches[step % len(self.batches)])

    def hard(self, moved: State) -> float:
        """On all batches and at all places."""
        total = count = 0.0
        for images, labels in self.batches:
            for alpha in self.places:
                total += float(self._loss(moved, alpha, images, labels)) * len(images)
                count += len(images)
        return total / count

    def _loss(self, moved: State, alpha: float, images: Tensor, labels: Tensor) -> Tensor:
        state = {name: value.clone() for name, value in self.a.items() if name not in moved}  # updated in place
        state |= Segment({name: self.a[name] for name in self.names}, moved).point(alpha)
        return mean_loss(functional_call(self.network, state, (images,)), labels)


GOALS: Mapping[str, Callable[[nn.Module, State, list[str], Batches], Goal]] = {
    "distance": lambda _network, a, names, _batches: Distance(a, names),
    "midpoint": lambda network, a, _names, batches: SegmentLoss(network, a, batches, (0.5,), drawn=False),
    "path": lambda network, a, _names, batches: SegmentLoss(network, a, batches, PLACES, drawn=True),
}
"""Objective -> how it is measured."""
