"""Finds the operations of a graph by their names, and refuses those that are no plain computation."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch

ATEN, PYTHON = "aten.", "_operator."
ARITHMETIC = ("add", "sub", "mul", "floordiv", "mod", "neg", "truediv", "pow")
"""Operations on sizes."""
BATCH_NORM = "aten.batch_norm.default"
INSTANCE_NORM = "aten.instance_norm.default"
DROPOUTS = tuple(
    f"aten.{kind}{ending}.default"
    for kind in ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
    for ending in ("", "_")
)
MODES = ("train", "training")
"""Arguments of operations that draw at random in training mode alone: recurrent layers, rrelu."""
ATTENTION = "aten.scaled_dot_product_attention.default"


def operator_of(name: str) -> Callable[..., Any]:
    """Find an operation: one of PyTorch's own, or arithmetic on sizes.

    Raises:
        ValueError: it is another library's, unknown to this PyTorch, or reads or writes files.
    """
    if name.startswith(PYTHON) and name.removeprefix(PYTHON) in ARITHMETIC:
        found: Callable[..., Any] = getattr(operator, name.removeprefix(PYTHON))
        return found
    if not name.startswith(ATEN):
        raise ValueError(
            f"uses the operation {name}, which is no plain one of PyTorch (torch.no_grad or torch.autocast in its code "
            "leaves such); export it without, or give its weights as a file and its class as model=<module>:<function>"
        )
    _, packet, overload, *rest = [*name.split("."), "", ""]
    op = getattr(getattr(torch.ops.aten, packet, None), overload, None)
    if not isinstance(op, torch._ops.OpOverload) or any(rest):
        raise ValueError(f"uses the operation {name}, which torch {torch.__version__} does not know; update torch")
    if any(argument.name == "filename" for argument in op._schema.arguments):
        raise ValueError(f"uses the operation {name}, which reads or writes files; it is not loaded")
    return op


def refuse_random(name: str, args: dict[str, Any]) -> None:
    """Refuse an operation that draws at random; what draws in training mode alone is set to evaluation (in `args`).

    Raises:
        ValueError: it draws.
    """
    if name == ATTENTION:
        if "dropout_p" in args:
            args["dropout_p"] = 0.0
        return
    op = operator_of(name)
    if torch.Tag.nondeterministic_seeded in getattr(op, "tags", ()):
        modes = [argument.name for argument in op._schema.arguments if argument.name in MODES]  # type: ignore[attr-defined]
        if modes:
            args[modes[0]] = False
            return
        raise ValueError(
            f"draws at random ({name}); it was exported in training mode: call network.eval() before it is logged"
        )


def call(op: Callable[..., Any], values: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Order named arguments as an operation takes them: by position as far as they go, then by name."""
    if not isinstance(op, torch._ops.OpOverload):
        return tuple(values.values()), {}
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for i, argument in enumerate(op._schema.arguments):
        if argument.name not in values:
            continue
        if len(positional) == i and not argument.kwarg_only:
            positional.append(values[argument.name])
        else:
            named[argument.name] = values[argument.name]
    return tuple(positional), named
