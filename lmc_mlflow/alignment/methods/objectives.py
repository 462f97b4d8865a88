"""Objectives minimized by Sinkhorn re-basin."""

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

ALPHAS = (0.25, 0.5, 0.75)
"""Alphas at which hard permutations are compared when the loss along the path is minimized."""
Batches = Sequence[tuple[Tensor, Tensor]]


class Objective(Protocol):
    """A function of B's tensors, after they have been permuted, that is minimized."""

    names: list[str]
    """Names of the tensors that it reads."""

    def soft(self, permuted: State, step: int, draws: torch.Generator) -> Tensor:
        """Give the differentiable value that one step minimizes."""
        ...

    def hard(self, permuted: State) -> float:
        """Give the value by which hard permutations are compared."""
        ...


class Distance:
    """Sum of squared differences of the weights."""

    def __init__(self, a: State, names: list[str]) -> None:
        self.a, self.names = a, names
        self.scale = sum(float(a[name].double().square().sum()) for name in names)

    def soft(self, permuted: State, step: int, draws: torch.Generator) -> Tensor:
        """Give the distance over A's squared length, so that it does not depend on the network's size."""
        del step, draws
        return torch.stack([(self.a[name] - permuted[name]).square().sum() for name in self.names]).sum() / self.scale

    def hard(self, permuted: State) -> float:
        """Give the squared distance, in double precision."""
        return sum(float((self.a[name].double() - permuted[name].double()).square().sum()) for name in self.names)


class SegmentLoss:
    """Mean loss on the segment between A and B. Batch norm normalizes by the batch, as if recalibrated there."""

    def __init__(self, network: nn.Module, a: State, batches: Batches, alphas: Sequence[float], drawn: bool) -> None:
        self.network = copy.deepcopy(network).eval()
        for layer in batch_norms(self.network):
            layer.train()
        self.names = [name for name, _ in network.named_parameters()]
        self.a = {name: value.detach() for name, value in a.items()}
        self.batches, self.alphas, self.drawn = batches, alphas, drawn

    def soft(self, permuted: State, step: int, draws: torch.Generator) -> Tensor:
        """Give the loss on one batch, at the first alpha or at one that is drawn uniformly."""
        alpha = float(torch.rand((), generator=draws)) if self.drawn else self.alphas[0]
        return self._loss(permuted, alpha, *self.batches[step % len(self.batches)])

    def hard(self, permuted: State) -> float:
        """Give the mean loss over all batches and alphas."""
        total = count = 0.0
        for images, labels in self.batches:
            for alpha in self.alphas:
                total += float(self._loss(permuted, alpha, images, labels)) * len(images)
                count += len(images)
        return total / count

    def _loss(self, moved: State, alpha: float, images: Tensor, labels: Tensor) -> Tensor:
        state = {name: value.clone() for name, value in self.a.items() if name not in moved}  # updated in place
        state |= Segment({name: self.a[name] for name in self.names}, moved).point(alpha)
        return mean_loss(functional_call(self.network, state, (images,)), labels)


OBJECTIVES: Mapping[str, Callable[[nn.Module, State, list[str], Batches], Objective]] = {
    "distance": lambda _network, a, names, _batches: Distance(a, names),
    "midpoint": lambda network, a, _names, batches: SegmentLoss(network, a, batches, (0.5,), drawn=False),
    "path": lambda network, a, _names, batches: SegmentLoss(network, a, batches, ALPHAS, drawn=True),
}
"""Name of an objective -> its function, from network, A's state, compared tensors and batches."""
