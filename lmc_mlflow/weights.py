"""Compares, copies and averages state dicts: whether they fit each other, distances, angles, digests, means."""

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import torch
from torch import Tensor

State = Mapping[str, Tensor]


def check_compatible(a: State, b: State) -> None:
    """Check that both hold the same names with the same shapes and types.

    Raises:
        ValueError: naming the first difference.
    """
    for name in a:
        if name not in b:
            raise ValueError(f"{name}: only the first network has it")
        if a[name].shape != b[name].shape:
            raise ValueError(f"{name}: shape {tuple(a[name].shape)} vs {tuple(b[name].shape)}")
        if a[name].dtype != b[name].dtype:
            raise ValueError(f"{name}: type {a[name].dtype} vs {b[name].dtype}")
    for name in b:
        if name not in a:
            raise ValueError(f"{name}: only the second network has it")


def copy_all(into: Sequence[Tensor], source: Sequence[Tensor | None]) -> None:
    """Copy tensors into others (in place): in one launch for each type, but for those whose memory formats differ.

    Args:
        into: overwritten.
        source: of the same shapes; None: zeros.
    """
    alike: dict[torch.dtype, list[tuple[Tensor, Tensor]]] = {}
    for mine, other in zip(into, source, strict=True):
        if other is None:
            mine.zero_()
        elif mine.dtype == other.dtype and mine.stride() == other.stride():
            alike.setdefault(mine.dtype, []).append((mine, other))
        else:
            mine.copy_(other)
    for pairs in alike.values():
        torch._foreach_copy_([mine for mine, _ in pairs], [other for _, other in pairs])


def digest(state: State) -> str:
    """Compute the sha256 of names, shapes and values, in hex."""
    total = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        total.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        total.update(value.numpy().tobytes())
    return total.hexdigest()


def _flat(state: State, names: Collection[str]) -> Tensor:
    return torch.cat([state[name].detach().double().flatten() for name in names])


def cosine(a: State, b: State, names: Collection[str]) -> float:
    """Compute the cosine of the angle between the two vectors of the named tensors (Hepburn et al., Appendix D)."""
    left, right = _flat(a, names), _flat(b, names)
    norms = left.norm() * right.norm()
    return float(left @ right / norms) if norms > 0 else math.nan


def angle_deg(a: State, b: State, names: Collection[str]) -> float:
    """Compute the angle between the two vectors in degrees, 0 to 180.

    By atan2 of the difference and the sum of the unit vectors, which keeps its digits where the
    arc cosine loses them (nearly parallel vectors).
    """
    left, right = _flat(a, names), _flat(b, names)
    if left.norm() == 0 or right.norm() == 0:
        return math.nan
    left, right = left / left.norm(), right / right.norm()
    return math.degrees(2 * math.atan2(float((left - right).norm()), float((left + right).norm())))


def manhattan(a: State, b: State, names: Collection[str]) -> float:
    """Compute the sum of absolute differences (Hepburn et al., Appendix D, k = 1)."""
    return float((_flat(a, names) - _flat(b, names)).abs().sum())


def euclidean_squared(a: State, b: State, names: Collection[str]) -> float:
    """Compute the sum of squared differences (Hepburn et al., Appendix D, k = 2)."""
    return float((_flat(a, names) - _flat(b, names)).square().sum())


def largest_difference(a: State, b: State) -> float:
    """Compute the largest absolute difference between two numbers at the same place of two states, buffers included."""
    check_compatible(a, b)
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a if a[name].numel())


def average(states: Iterable[State]) -> dict[str, Tensor]:
    """Average states uniformly (SWA, Izmailov et al. 2018), summed in double precision.

    Integers (batch norm's counters) are the last state's.

    Raises:
        ValueError: there is no state.
    """
    total: dict[str, Tensor] = {}
    last: State = {}
    number = 0
    for state in states:
        number, last = number + 1, state
        for name, value in state.items():
            if value.is_floating_point():
                total[name] = total[name] + value.double() if name in total else value.double()
    if not number:
        raise ValueError("there is nothing to average")
    return {
        name: (total[name] / number).to(value.dtype) if name in total else value.clone() for name, value in last.items()
    }
