"""Checks the shapes, types and numbers of tensors against those of a network, and converts half precision."""

from collections.abc import Mapping

import torch
from torch import Tensor

CONVERTED = {torch.float16: "float16", torch.bfloat16: "bfloat16", torch.float64: "float64 (rounded)"}
"""Types of tensors that become float32."""


def fit_values(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Check tensors against those of a network, and give them its types.

    Args:
        found: name in the network -> tensor; counters of batch norm may be missing and are set to 0.
        expected: name -> tensor of the network; values are not read.

    Returns:
        All tensors of the network, in its order, and sentences that say what was converted.

    Raises:
        ValueError: names the first tensor with another shape, of a type that cannot be converted, or with numbers
            that are not finite.
    """
    _check_shapes(found, expected)
    values: dict[str, Tensor] = {}
    converted: set[str] = set()
    counters = 0
    for name, wanted in expected.items():
        if name not in found:
            values[name] = torch.zeros(wanted.shape, dtype=wanted.dtype)
            counters += 1
            continue
        value = found[name]
        if value.dtype != wanted.dtype:
            converted.add(_conversion(name, value, wanted))
            value = value.to(wanted.dtype)
        if not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"{name}: {int((~torch.isfinite(value)).sum()):,} of {value.numel():,} numbers are no finite ones"
            )
        values[name] = value
    notes = [f"{kind} became float32" for kind in sorted(converted - {""})]
    return values, notes + [f"{counters} counters of batch norm are missing and were set to 0"] * bool(counters)


def _conversion(name: str, value: Tensor, wanted: Tensor) -> str:
    """Name the type that is converted; nothing for a counter, which averaging has made a float."""
    if wanted.dtype == torch.float32 and value.dtype in CONVERTED:
        return CONVERTED[value.dtype]
    is_counter = wanted.dtype == torch.int64 and value.is_floating_point() and value.numel() == 1
    if is_counter and bool(value == value.round()):
        return ""
    raise ValueError(
        f"{name}: type {value.dtype} in the file vs {wanted.dtype} in the network; save it as {wanted.dtype}"
    )


def _check_shapes(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    other = [name for name, value in found.items() if value.shape != expected[name].shape]
    if not other:
        return
    name = other[0]
    theirs, mine = tuple(found[name].shape), tuple(expected[name].shape)
    shapes = f"{name}: shape {theirs} in the file vs {mine} in the network"
    if _are_heads(other, found, expected):
        raise ValueError(
            f"number of classes: {theirs[0]} in the file vs {mine[0]} in the network ({shapes}); give the data that "
            "the file was trained on, or another head"
        )
    if len(theirs) == len(mine) == 4 and theirs[0] == mine[0] and theirs[2:] == mine[2:] and len(other) == 1:
        raise ValueError(f"channels of the images: {theirs[1]} in the file vs {mine[1]} in the network ({shapes})")
    raise ValueError(f"{shapes}; choose the network and the image size that the file was saved with")


def _are_heads(other: list[str], found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    """Tell whether only outputs differ in number: the same two numbers first in every shape, and the rest the same."""
    numbers = {(found[name].shape[:1], expected[name].shape[:1]) for name in other}
    rest = all(found[name].shape[1:] == expected[name].shape[1:] for name in other)
    return (
        rest
        and len(numbers) == 1
        and all(found[name].ndim for name in other)
        and any(found[name].ndim > 1 for name in other)
    )
