"""What is an operation of a traced network to a rule that ties axes? Its name, its arguments' axes, its shapes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lmc_mlflow.alignment.derivation.axes import Axis, Groups, length

Layout = tuple[Axis, ...]
"""One axis for each dimension of a tensor."""


@dataclass(frozen=True)
class Value:
    """A tensor of the traced network: its layout."""

    layout: Layout

    @property
    def shape(self) -> tuple[int, ...]:
        """Entries along each axis."""
        return tuple(length(axis) for axis in self.layout)


@dataclass(frozen=True)
class Call:
    """One operation of the traced network."""

    name: str
    arguments: Mapping[str, Any]
    """By their names in PyTorch's schema, defaults included; a tensor is a Value."""
    shapes: Sequence[tuple[int, ...]]
    """Of what comes out: one, or several for an operation that returns several tensors."""

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the (first) output."""
        return self.shapes[0]

    @property
    def input(self) -> Value:
        """The first argument."""
        value = next(iter(self.arguments.values()))
        assert isinstance(value, Value), self.name
        return value

    def tensors(self) -> list[Value]:
        """All arguments that are tensors."""
        return [value for value in self.arguments.values() if isinstance(value, Value)]


Outcome = Layout | list[Layout]
"""The layout of the output, or a list of them for an operation that returns several tensors."""
Rule = Callable[[Groups, Call], Outcome]
