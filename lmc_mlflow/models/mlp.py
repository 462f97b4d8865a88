"""What is an MLP here? Flatten, then Linear, [norm], ReLU, [dropout] for each hidden layer, then Linear."""

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

FORM = "mlp_l<layers>_w<width>[_<width>...][_bn|_ln][_leaky<slope>][_dropout]"
_NAME = re.compile(r"mlp_l(\d+)_w(\d+(?:_\d+)*)(_bn|_ln)?(?:_leaky(\d+(?:\.\d+)?))?(_dropout)?")
NORMS: Mapping[str, Callable[[int], nn.Module]] = {"_bn": nn.BatchNorm1d, "_ln": nn.LayerNorm}


@dataclass(frozen=True)
class MLPSpec:
    """The widths of the hidden layers, and what stands between them.

    Attributes:
        widths: one for each hidden layer.
        norm: a row of `NORMS`, or nothing.
        slope: of the leaky ReLU below 0; None: a ReLU.
        dropout: whether units are dropped.
    """

    widths: tuple[int, ...]
    norm: str = ""
    slope: float | None = None
    dropout: bool = False


def parse_mlp(name: str) -> MLPSpec:
    """`mlp_l3_w256_512_256_bn` -> its spec; a single width is that of all layers, as in `mlp_l4_w512_ln`.

    Raises:
        ValueError: the name does not have that form, names another number of widths than of layers, or a slope
            above 1.
    """
    found = _NAME.fullmatch(name)
    if not found:
        raise ValueError(f"model {name!r}: an MLP is called {FORM}, as in mlp_l3_w256_512_256_bn")
    num_layers, widths = int(found[1]), tuple(int(width) for width in found[2].split("_"))
    if len(widths) == 1:
        widths *= num_layers
    if len(widths) != num_layers or not widths or 0 in widths:
        raise ValueError(
            f"model {name!r}: l{found[1]} needs {found[1]} widths above 0, one for each hidden layer, or one for all"
        )
    slope = None if found[4] is None else float(found[4])
    if slope is not None and slope > 1:
        raise ValueError(f"model {name!r}: the slope {found[4]} must lie between 0 (a ReLU) and 1 (no ReLU)")
    return MLPSpec(widths, norm=found[3] or "", slope=slope, dropout=bool(found[5]))


def mlp(spec: MLPSpec, num_inputs: int, num_classes: int, dropout_rate: float, output: nn.Module) -> nn.Sequential:
    """The network: images (N, C, H, W) with C H W = num_inputs -> (N, num_classes)."""
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


def table_v_names() -> Sequence[str]:
    """The MLPs of Hepburn et al., Table V."""
    return ("mlp_l1_w587", "mlp_l3_w256_512_256", "mlp_l1_w126", "mlp_l3_w110_256_110")
