"""What are the linear networks of Altintas et al.? Linear layers with nothing between them."""

import re
from collections import OrderedDict
from itertools import pairwise

from torch import nn

LINEAR_FORM = "linear_l<layers>_w<width>"
_NAME = re.compile(r"linear_l(\d+)(?:_w(\d+))?")


def parse_linear(name: str) -> tuple[int, ...]:
    """`linear_l4_w128` -> its hidden widths, three of 128; `linear_l1`, logistic regression, has none.

    Raises:
        ValueError: the name does not have that form, or gives a width where there is no hidden layer or none where
            there is one.
    """
    found = _NAME.fullmatch(name)
    if not found or int(found[1]) == 0:
        raise ValueError(
            f"model {name!r}: a linear network is called {LINEAR_FORM}, as in linear_l4_w128, or linear_l1"
        )
    num_hidden = int(found[1]) - 1
    if (num_hidden == 0) != (found[2] is None) or (found[2] is not None and not int(found[2])):
        raise ValueError(
            f"model {name!r}: linear_l1 has no hidden layer and no width, all others have one width above 0, as in "
            "linear_l4_w128"
        )
    return (int(found[2]),) * num_hidden if num_hidden else ()


def linear(widths: tuple[int, ...], num_inputs: int, num_classes: int, output: nn.Module) -> nn.Sequential:
    """The network: images (N, C, H, W) with C H W = num_inputs -> (N, num_classes)."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    sizes = (num_inputs, *widths, num_classes)
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes), start=1):
        layers[f"linear{i}"] = nn.Linear(fan_in, fan_out)
    layers["output"] = output
    return nn.Sequential(layers)
