"""Reads from the schema of an operation what it changes, returns and draws."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from simulated_device.rules import NO_KERNEL, UPDATING


@dataclass(frozen=True)
class Operator:
    """What the schema of an operation says.

    Attributes:
        name: without namespace and overload.
        written: position and name of the arguments that it changes, and the name of their memory.
        returned: for each result the name of the changed argument that it is, or None.
        is_view: whether its result shares the memory of its first tensor.
        draws: whether it uses a generator.
        launches: whether it starts a kernel.
    """

    name: str
    written: tuple[tuple[int, str, str], ...]
    returned: tuple[str | None, ...]
    is_view: bool
    draws: bool
    launches: bool

    def new(self, out: Any) -> list[Tensor]:
        """Return the tensors among the results that are none of the arguments."""
        outs = out if len(self.returned) > 1 else (out,)
        return [
            x for memory, result in zip(self.returned, outs, strict=False) if memory is None for x in tensors_in(result)
        ]


@cache
def operator(func: torch._ops.OpOverload) -> Operator:
    """Read the schema of an operation."""
    schema = func._schema
    name = schema.name.removeprefix("aten::")
    written = tuple(
        (i, argument.name, next(iter(argument.alias_info.before_set), argument.name))
        for i, argument in enumerate(schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    )
    if name in UPDATING:
        names = [argument.name for argument in schema.arguments]
        written += tuple((names.index(n), n, n) for n in ("running_mean", "running_var"))
    aliases = [result.alias_info for result in schema.returns]
    returned = tuple(next(iter(a.before_set)) if a is not None and a.is_write else None for a in aliases)
    is_view = name == "_unsafe_view" or any(a is not None and not a.is_write for a in aliases)
    launches = not is_view and name not in NO_KERNEL and name != "_local_scalar_dense"
    return Operator(name, written, returned, is_view, torch.Tag.nondeterministic_seeded in func.tags, launches)


def tensors_in(*values: Any) -> list[Tensor]:
    """Return the tensors among arguments or results, in lists too."""
    return [x for v in values for x in (v if isinstance(v, list | tuple) else (v,)) if isinstance(x, Tensor)]
