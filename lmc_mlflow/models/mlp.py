"""Builds MLPs: flatten, then Linear, [norm], ReLU, [dropout] for each hidden layer, then Linear."""

from collections import OrderedDict
from collections.abc import Callable, Mapping

from torch import nn

from lmc_mlflow.models.names import MLPSpec

NORMS: Mapping[str, Callable[[int], nn.Module]] = {"_bn": nn.BatchNorm1d, "_ln": nn.LayerNorm}


def mlp(spec: MLPSpec, num_inputs: int, num_classes: int, dropout_rate: float, output: nn.Module) -> nn.Sequential:
    """Build the network, which maps images (N, C, H, W) with C H W = num_inputs to (N, num_classes)."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    fan_in = num_inputs
    for i, width in enumerate(spec.widths, start=1):
        layers[f"linear{i}"] = nn.Linear(fan_in, width)
        if spec.norm:
            layers[f"norm{i}"] = NORMS[spec.norm](width)
        layers[f"relu{i}"] = nn.ReLU() if spec.slope is None else nn.LeakyReLU(spec.slope)
        if spec.dropout:
            layers[f"dropout{i}"] = nn.Dropout(dropout_rate)
        fan_in = width
    layers[f"linear{len(spec.widths) + 1}"] = nn.Linear(fan_in, num_classes)
    layers["output"] = output
    return nn.Sequential(layers)
