"""The text form of a graph: operations of PyTorch by name, and the tensors that they use."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from lmc_mlflow.own_code import GRAPH
from lmc_mlflow.schema import read_json

FORMAT = 1
DIGITS = 16
"""Of the digest in such a name."""
NODE, STATE, FLOAT, DTYPE, MEMORY_FORMAT, DEVICE = "node", "state", "float", "dtype", "memory_format", "device"
"""Keys of arguments that JSON has no form for: another node's result, a tensor of the state, inf and nan, ..."""
Size = Annotated[int, Field(ge=0, lt=2**40)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


@dataclass(frozen=True)
class Held:
    """A tensor of the state.

    Attributes:
        shape: of the tensor.
        dtype: as in `float32`.
        role: a parameter, a buffer, or a constant that a state dict does not hold.
        sha256: of a constant's bytes: networks with other constants are other networks.
    """

    shape: list[Size]
    dtype: Name
    role: Literal["parameter", "buffer", "constant"]
    sha256: str = ""


@dataclass(frozen=True)
class Node:
    """An operation.

    Attributes:
        op: its name, as in `aten.conv2d.default`, or of Python's module operator, as in `operator.mul`.
        args: argument name -> value.
        out: names of its results; of one that gives a list, those of its items.
        is_list: whether it gives a list.
        rank: number of axes of the input of a batch norm.
    """

    op: Name
    args: dict[str, Any]
    out: list[Name]
    is_list: bool = False
    rank: int = 0


@dataclass(frozen=True)
class GraphContent:
    """A network as a graph.

    Attributes:
        format: of this text.
        input: name of the images (N, C, H, W).
        image_shape: C, H and W that the graph was traced for.
        num_outputs: numbers that it gives for an image.
        output: name of the result (N, K).
        tensors: the state, by name.
        nodes: in the order in which they run.
    """

    format: int
    input: Name
    image_shape: list[Size]
    num_outputs: Size
    output: Name
    tensors: dict[str, Held]
    nodes: list[Node]

    @property
    def text(self) -> str:
        """The graph as JSON, one operation a line."""
        own = asdict(self)
        nodes, tensors = own.pop("nodes"), own.pop("tensors")
        head = json.dumps(own)[:-1]
        lines = ",\n".join(json.dumps(node) for node in nodes)
        held = ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in tensors.items())
        return f'{head},\n"tensors": {{\n{held}\n}},\n"nodes": [\n{lines}\n]}}\n'


def read_graph(text: str) -> GraphContent:
    """Read the text form of a graph.

    Raises:
        ValueError: a newer version wrote it, or it is not what any version writes; names the first such value.
    """
    content = read_json(GraphContent, text)
    if content.format != FORMAT:
        raise ValueError(f"graph in format {content.format}, this version reads {FORMAT}; update lmc_mlflow")
    return content


def graph_name(text: str) -> str:
    """Name a network by the digest of its graph, as in `graph:3f2a...`: equal names mean equal architectures."""
    return GRAPH + hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
