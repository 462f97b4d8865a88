"""One traced operation as the symmetry rules see it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lmc_mlflow.alignment.derivation.units.axes import Axis, length
from lmc_mlflow.alignment.derivation.units.groups import Groups

Layout = tuple[Axis, ...]
"""One axis for each dimension of a tensor."""


@dataclass(frozen=True)
class Value:
    """A tensor of the traced network: its layout."""

    layout: Layout

    @property
    def shape(self) -> tuple[int, ...]:
        """Count the entries along each axis."""
        return tuple(length(axis) for axis in self.layout)


@dataclass(frozen=True)
class Operation:
    """One operation of the traced network."""

    name: str
    arguments: Mapping[str, Any]
    """By their names in PyTorch's schema, defaults included; a tensor is a Value."""
    shapes: Sequence[tuple[int, ...]]
    """Shapes of the outputs: one, or several for an operation that returns several tensors."""

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    @property
    def shape(self) -> tuple[int, ...]:
        """Give the shape of the (first) output."""
        return self.shapes[0]

    @property
    def input(self) -> Value:
        """Give the first argument, which must be a tensor."""
        value = next(iter(self.arguments.values()))
        assert isinstance(value, Value), self.name
        return value

    def tensors(self) -> list[Value]:
        """List all arguments that are tensors."""
        return [value for value in self.arguments.values() if isinstance(value, Value)]


Output = Layout | list[Layout]
"""The layout of the output, or a list of them for an operation that returns several tensors."""
Rule = Callable[[Groups, Operation], Output]
"""Ties the axes of an operation's inputs together (in place, in the groups) and gives the layout of its output."""
