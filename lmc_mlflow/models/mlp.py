"""What is an MLP here? Flatten, then Linear, [batch norm], ReLU, [dropout] for each hidden layer, then Linear."""

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

FORM = "mlp_l<layers>_w<width>[_<width>...][_bn][_dropout]"
_NAME = re.compile(r"mlp_l(\d+)_w(\d+(?:_\d+)*)(_bn)?(_dropout)?")


@dataclass(frozen=True)
class MLPSpec:
    """The widths of the hidden layers, and what stands between them."""

    widths: tuple[int, ...]
    batch_norm: bool
    dropout: bool


def parse_mlp(name: str) -> MLPSpec:
    """`mlp_l3_w256_512_256_bn` -> its spec.

    Raises:
        ValueError: the name does not have that form, or names another number of widths than of layers.
    """
    found = _NAME.fullmatch(name)
    if not found:
        raise ValueError(f"model {name!r}: an MLP is called {FORM}, as in mlp_l3_w256_512_256_bn")
    widths = tuple(int(width) for width in found[2].split("_"))
    if len(widths) != int(found[1]) or 0 in widths:
        raise ValueError(f"model {name!r}: l{found[1]} needs {found[1]} widths above 0, one for each hidden layer")
    return MLPSpec(widths, batch_norm=bool(found[3]), dropout=bool(found[4]))


def mlp(spec: MLPSpec, num_inputs: int, num_classes: int, dropout_rate: float, output: nn.Module) -> nn.Sequential:
    """The network: images (N, C, H, W) with C H W = num_inputs -> (N, num_classes)."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    fan_in = num_inputs
    for i, width in enumerate(spec.widths, start=1):
        layers[f"linear{i}"] = nn.Linear(fan_in, width)
        if spec.batch_norm:
            layers[f"norm{i}"] = nn.BatchNorm1d(width)
        layers[f"relu{i}"] = nn.ReLU()
        if spec.dropout:
            layers[f"dropout{i}"] = nn.Dropout(dropout_rate)
        fan_in = width
    layers[f"linear{len(spec.widths) + 1}"] = nn.Linear(fan_in, num_classes)
    layers["output"] = output
    return nn.Sequential(layers)


def table_v_names() -> Sequence[str]:
    """The MLPs of Hepburn et al., Table V."""
    return ("mlp_l1_w587", "mlp_l3_w256_512_256", "mlp_l1_w126", "mlp_l3_w110_256_110")
