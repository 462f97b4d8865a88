"""The table of operations that become layers again, so that batch norms can be trained, folded and recalibrated."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from lmc_mlflow.models.graphs.content import STATE, Held, Node
from lmc_mlflow.models.graphs.operators import BATCH_NORM, DROPOUTS


@dataclass(frozen=True)
class LayerRow:
    """A row of the table.

    Attributes:
        tensors: arguments that hold the layer's tensors; they have the names that the layer gives them.
        make: makes the layer from the operation's arguments and the shapes of its tensors; None: it cannot.
    """

    tensors: Sequence[str]
    make: Callable[[Node, Mapping[str, Held]], nn.Module | None]


def _convolution(kind: type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]) -> LayerRow:
    def make(node: Node, tensors: Mapping[str, Held]) -> nn.Module | None:
        outputs, inputs, *kernel = tensors["weight"].shape
        groups = node.args.get("groups", 1)
        options: dict[str, Any] = {
            name: node.args.get(name, default) for name, default in (("stride", 1), ("padding", 0), ("dilation", 1))
        }
        for name, value in options.items():
            if isinstance(value, list):
                options[name] = tuple(value) * (len(kernel) if len(value) == 1 else 1)
        size: Any = tuple(kernel)
        return kind(inputs * groups, outputs, size, groups=groups, bias="bias" in tensors, **options)

    return LayerRow(("weight", "bias"), make)


def _linear(_: Node, tensors: Mapping[str, Held]) -> nn.Module | None:
    if len(tensors["weight"].shape) != 2:
        return None
    outputs, inputs = tensors["weight"].shape
    return nn.Linear(inputs, outputs, bias="bias" in tensors)


def _batch_norm(node: Node, tensors: Mapping[str, Held]) -> nn.Module | None:
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}.get(node.rank)
    if kind is None or not tensors or ("weight" in tensors) != ("bias" in tensors):
        return None
    size = next(iter(tensors.values())).shape[0]
    tracked = "running_mean" in tensors
    return kind(size, node.args["eps"], node.args["momentum"], "weight" in tensors, tracked)


def _layer_norm(node: Node, tensors: Mapping[str, Held]) -> nn.Module | None:
    if "weight" not in tensors:
        return None
    return nn.LayerNorm(node.args["normalized_shape"], node.args.get("eps", 1e-5), True, "bias" in tensors)


def _group_norm(node: Node, tensors: Mapping[str, Held]) -> nn.Module | None:
    if {*tensors} != {"weight", "bias"}:
        return None
    return nn.GroupNorm(node.args["num_groups"], tensors["weight"].shape[0], node.args.get("eps", 1e-5))


def _dropout(node: Node, _: Mapping[str, Held]) -> nn.Module | None:
    kind = DROPOUT_LAYERS[node.op.removesuffix(".default").removesuffix("_")]
    return kind(node.args["p"])


DROPOUT_LAYERS: Mapping[str, Callable[[float], nn.Module]] = {
    "aten.dropout": nn.Dropout,
    "aten.feature_dropout": nn.Dropout2d,
    "aten.alpha_dropout": nn.AlphaDropout,
    "aten.feature_alpha_dropout": nn.FeatureAlphaDropout,
}
LAYERS: Mapping[str, LayerRow] = {
    "aten.conv1d.default": _convolution(nn.Conv1d),
    "aten.conv2d.default": _convolution(nn.Conv2d),
    "aten.conv3d.default": _convolution(nn.Conv3d),
    "aten.conv1d.padding": _convolution(nn.Conv1d),
    "aten.conv2d.padding": _convolution(nn.Conv2d),
    "aten.conv3d.padding": _convolution(nn.Conv3d),
    "aten.linear.default": LayerRow(("weight", "bias"), _linear),
    BATCH_NORM: LayerRow(("weight", "bias", "running_mean", "running_var"), _batch_norm),
    "aten.layer_norm.default": LayerRow(("weight", "bias"), _layer_norm),
    "aten.group_norm.default": LayerRow(("weight", "bias"), _group_norm),
    **dict.fromkeys(DROPOUTS, LayerRow((), _dropout)),
}


def layer_place(node: Node, row: LayerRow) -> str | None:
    """Name the module that holds all tensors of an operation under the names of its layer; None: there is none."""
    places = set()
    for name in row.tensors:
        value = node.args.get(name)
        if value is None:
            continue
        held = value.get(STATE, "") if isinstance(value, dict) else ""
        place, _, last = held.rpartition(".")
        if last != name or not place:
            return None
        places.add(place)
    return places.pop() if len(places) == 1 else None
