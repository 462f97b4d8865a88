"""Reads and writes the names that carry numbers: MLPs, linear networks, ResNets; needs no PyTorch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lmc_mlflow.errors import shortened

MLP_FORM = "mlp_l<layers>_w<width>[_<width>...][_bn|_ln][_leaky<slope>][_dropout]"
LINEAR_FORM = "linear_l<layers>_w<width>"
RESNET18_FORM = "resnet18_w<width>"
RESNET20_FORM = "resnet20_w<width>[_padded]"
RESNET_FORMS = (RESNET18_FORM, RESNET20_FORM)
MOST_LAYERS = 1000
TABLE_V_MLPS = ("mlp_l1_w587", "mlp_l3_w256_512_256", "mlp_l1_w126", "mlp_l3_w110_256_110")
"""The MLPs of Hepburn et al., Table V."""
MLP_NAME = re.compile(
    r"mlp_l(?P<layers>\d+)_w(?P<widths>\d+(?:_\d+)*)"
    r"(?P<norm>_bn|_ln)?(?:_leaky(?P<slope>\d+(?:\.\d+)?))?(?P<dropout>_dropout)?"
)
LINEAR_NAME = re.compile(r"linear_l(?P<layers>\d+)(?:_w(?P<width>\d+))?")
RESNET_NAME = re.compile(r"resnet(?P<depth>18|20)_w(?P<width>[1-9]\d{0,4})(?P<padded>_padded)?")


@dataclass(frozen=True)
class MLPSpec:
    """The widths of the hidden layers, and what stands between them.

    Attributes:
        widths: one for each hidden layer.
        norm: `_bn` (batch norm), `_ln` (layer norm), or nothing.
        slope: of the leaky ReLU below 0; None: a ReLU.
        dropout: whether units are dropped.
    """

    widths: tuple[int, ...]
    norm: str = ""
    slope: float | None = None
    dropout: bool = False


@dataclass(frozen=True)
class ResNetSpec:
    """A ResNet for small images.

    Attributes:
        depth: 18 or 20.
        width: channels of the stem and of the first stage; each further stage has twice as many.
        projected: whether shortcuts between stages are convolutions, or without parameters.
    """

    depth: int
    width: int
    projected: bool = True


def parse_mlp(name: str) -> MLPSpec:
    """Read the name of an MLP, as in `mlp_l3_w256_512_256_bn`; a single width is that of all layers.

    Raises:
        ValueError: the name does not have that form, gives another number of widths than of layers, or a slope
            above 1.
    """
    found = MLP_NAME.fullmatch(name)
    if not found:
        raise ValueError(f"model {name!r}: an MLP is called {MLP_FORM}, as in mlp_l3_w256_512_256_bn")
    num_layers = _num_layers(found)
    widths = widths_of(found)
    if len(widths) != num_layers or not widths or 0 in widths:
        raise ValueError(
            f"model {name!r}: l{found['layers']} needs {found['layers']} widths above 0, one for each hidden layer, "
            "or one for all"
        )
    slope = None if found["slope"] is None else float(found["slope"])
    if slope is not None and slope > 1:
        raise ValueError(f"model {name!r}: the slope {found['slope']} must lie between 0 (a ReLU) and 1 (no ReLU)")
    return MLPSpec(widths, norm=found["norm"] or "", slope=slope, dropout=bool(found["dropout"]))


def _num_layers(found: re.Match[str]) -> int:
    if len(found["layers"]) > len(str(MOST_LAYERS)) or int(found["layers"]) > MOST_LAYERS:
        raise ValueError(f"model: l{shortened(found['layers'])} is more than {MOST_LAYERS:,} layers; choose fewer")
    return int(found["layers"])


def widths_of(found: re.Match[str]) -> tuple[int, ...]:
    """Return the hidden widths that a match of `MLP_NAME` gives; a single one is repeated for all layers."""
    widths = tuple(int(width) for width in found["widths"].split("_"))
    return widths * int(found["layers"]) if len(widths) == 1 else widths


def parse_linear(name: str) -> tuple[int, ...]:
    """Read the hidden widths from the name of a linear network.

    `linear_l4_w128` has three of 128; `linear_l1`, logistic regression, has none.

    Raises:
        ValueError: the name does not have that form, or gives a width where there is no hidden layer or none where
            there is one.
    """
    found = LINEAR_NAME.fullmatch(name)
    if not found or int(found["layers"]) == 0:
        raise ValueError(
            f"model {name!r}: a linear network is called {LINEAR_FORM}, as in linear_l4_w128, or linear_l1"
        )
    num_hidden, width = _num_layers(found) - 1, found["width"]
    if (num_hidden == 0) != (width is None) or (width is not None and not int(width)):
        raise ValueError(
            f"model {name!r}: linear_l1 has no hidden layer and no width, all others have one width above 0, as in "
            "linear_l4_w128"
        )
    return (int(width),) * num_hidden if num_hidden else ()


def parse_resnet(name: str) -> ResNetSpec:
    """Read the name of a ResNet with a width, as in `resnet18_w64` or `resnet20_w16_padded`.

    Raises:
        ValueError: the name does not have that form.
    """
    found = RESNET_NAME.fullmatch(name)
    if not found or (found["padded"] and found["depth"] != "20"):
        raise ValueError(
            f"model {shortened(name)!r}: a ResNet with a width is called {RESNET18_FORM} or {RESNET20_FORM}, as in "
            "resnet18_w64, which is the usual one, or resnet18_w4, a sixteenth of its width"
        )
    return ResNetSpec(int(found["depth"]), int(found["width"]), not found["padded"])


def with_batch_norm(name: str) -> str:
    """Return the name of the same MLP with batch norm.

    Raises:
        ValueError: it is no MLP without norm.
    """
    if parse_mlp(name).norm:
        raise ValueError(f"model {name!r} has a norm already; give an MLP without one")
    found = MLP_NAME.fullmatch(name)
    assert found is not None
    return f"{name[: found.end('widths')]}_bn{name[found.end('widths') :]}"


def without_batch_norm(name: str) -> str:
    """Return the name of the same MLP without batch norm; any other name as it is."""
    found = MLP_NAME.fullmatch(name)
    if not found or found["norm"] != "_bn":
        return name
    return name[: found.start("norm")] + name[found.end("norm") :]


def with_widths(name: str, widths: Sequence[int]) -> str:
    """Return the name of an MLP with other hidden widths, one for each layer, and everything else the same."""
    found = MLP_NAME.fullmatch(name)
    assert found is not None, f"{name} is no MLP"
    return f"mlp_l{len(widths)}_w{'_'.join(map(str, widths))}{name[found.end('widths') :]}"


def in_natural_order(names: Sequence[str]) -> list[str]:
    """Sort names by the numbers in them, so that width 64 comes before width 512; each name once."""
    return sorted(set(names), key=_text_and_numbers)


def _text_and_numbers(name: str) -> list[str | int]:
    """Split a name into text and numbers in turn, beginning with text."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", name))]
