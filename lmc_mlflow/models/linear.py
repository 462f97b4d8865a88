"""Builds the linear networks of Altintas et al.: linear layers with nothing between them."""

from collections import OrderedDict
from itertools import pairwise

from torch import nn


def linear(widths: tuple[int, ...], num_inputs: int, num_classes: int, output: nn.Module) -> nn.Sequential:
    """Build the network, which maps images (N, C, H, W) with C H W = num_inputs to (N, num_classes).

    Args:
        widths: of the hidden layers, in order.
        num_inputs: C H W.
        num_classes: of the output.
        output: module that ends the network.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    sizes = (num_inputs, *widths, num_classes)
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes), start=1):
        layers[f"linear{i}"] = nn.Linear(fan_in, fan_out)
    layers["output"] = output
    return nn.Sequential(layers)
