"""Draws the initial weights of a network from other distributions than PyTorch's own."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from lmc_mlflow.config.choices import lookup
from lmc_mlflow.models.patches import LocallyConnected


def _normal(weight: Tensor, deviation: float) -> None:
    weight.normal_(0.0, deviation)


def _uniform(weight: Tensor, deviation: float) -> None:
    bound = math.sqrt(3) * deviation
    weight.uniform_(-bound, bound)


DRAWS: Mapping[str, Callable[[Tensor, float], None] | None] = {"default": None, "normal": _normal, "uniform": _uniform}


@torch.no_grad()
def initialize(network: nn.Module, kind: str) -> None:
    """Draw the weights of all linear, locally connected and convolutional layers again, in place, and set biases to 0.

    Both distributions have mean 0 and the variance 2 / fan-in, which keeps the size of a signal through ReLUs (He et
    al., 2015); they differ only in their shape. `default` changes nothing.

    Args:
        network: changed in place.
        kind: a row of `DRAWS`.

    Raises:
        ValueError: there is no such kind.
    """
    draw = lookup(DRAWS, kind, "weights_init")
    if draw is None:
        return
    for module in network.modules():
        if isinstance(module, nn.Linear | _ConvNd | LocallyConnected):
            inputs = module.weight[0, 0] if isinstance(module, LocallyConnected) else module.weight[0]
            draw(module.weight, math.sqrt(2 / inputs.numel()))
            if module.bias is not None:
                module.bias.zero_()
