"""Records which channels of a layer are held still while the rules are applied, and by which operation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import fx

from lmc_mlflow.alignment.derivation.operation import Layout
from lmc_mlflow.alignment.derivation.units.axes import Axis, length, num_moving
from lmc_mlflow.alignment.derivation.units.groups import Groups
from lmc_mlflow.alignment.symmetry import Channels

CHANNELS: Mapping[str, tuple[int, int]] = {
    "linear": (1, 0),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), (1, 0)),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), (1, 1)),
    **dict.fromkeys(("matmul", "mm", "bmm"), (1, -1)),
    "addmm": (2, -1),
    "embedding": (0, 1),
}
"""Operation -> number of the argument that is the layer's weight, and the axis of its output channels there."""


@dataclass
class _Layer:
    """The channels that a layer makes, and what has held some of them so far."""

    axis: Axis
    free: int
    is_output: bool = False
    total: int = 0
    reasons: tuple[str, ...] = ()


class HeldChannels:
    """The channels of every layer, watched while operations tie and freeze them."""

    def __init__(self, groups: Groups, layers: Mapping[str, Axis]) -> None:
        self._groups = groups
        self._layers = {
            name: _Layer(axis, length(axis), total=length(axis)) for name, axis in layers.items() if length(axis) > 1
        }
        self._num_bound = groups.num_bound

    def note(self, reason: str) -> None:
        """Say that whatever was frozen since the last call was so for this reason."""
        for layer, num_frozen in self._newly_frozen():
            layer.free -= num_frozen
            if reason not in layer.reasons:
                layer.reasons = (*layer.reasons, reason)

    def note_output(self) -> None:
        """Leave out what was frozen since the last call: it is the network's output and no hidden channel."""
        for layer, num_frozen in self._newly_frozen():
            layer.free -= num_frozen
            layer.total -= num_frozen

    def channels(self) -> dict[str, Channels]:
        """Give the hidden channels of each layer."""
        return {
            name: Channels(layer.total, layer.free, layer.reasons)
            for name, layer in self._layers.items()
            if layer.total
        }

    def _newly_frozen(self) -> Iterator[tuple[_Layer, int]]:
        if self._groups.num_bound == self._num_bound:
            return
        self._num_bound = self._groups.num_bound
        for layer in self._layers.values():
            if layer.free:
                num_frozen = layer.free - num_moving(self._groups.resolve(layer.axis))
                if num_frozen:
                    yield layer, num_frozen


def layers_of(graph: fx.Graph, names: Mapping[fx.Node, str], layouts: Mapping[str, Layout]) -> dict[str, Axis]:
    """Find the layers of a network, the operations that multiply by a matrix or a kernel of the state.

    Args:
        graph: of the network.
        names: of the tensors of the state, by their nodes.
        layouts: of the tensors.

    Returns:
        name of the layer -> the axis of the channels that it makes.
    """
    layers: dict[str, Axis] = {}
    for node in graph.nodes:
        operation = getattr(getattr(node.target, "_schema", None), "name", "").removeprefix("aten::")
        if operation in CHANNELS:
            argument, axis = CHANNELS[operation]
            weight = node.args[argument] if argument < len(node.args) else None
            name = _source(weight, names) if isinstance(weight, fx.Node) else None
            if name is not None:
                layers[name.rpartition(".")[0] or name] = layouts[name][axis]
    return layers


def _source(weight: fx.Node, names: Mapping[fx.Node, str]) -> str | None:
    """Name the tensor of the state that a weight is, or is computed from without changing its shape."""
    shape, seen, waiting = weight.meta["val"].shape, {weight}, [weight]
    while waiting:
        node = waiting.pop(0)
        if node in names and node.meta["val"].shape == shape:
            return names[node]
        new = [source for source in node.all_input_nodes if source not in seen and source.op != "get_attr"]
        seen.update(new)
        waiting += new
    return None
