"""Finds modules that have another name in a file than in a network, by the shapes of their tensors."""

from collections.abc import Mapping

from lmc_mlflow.models.weight_files.prefixes import is_needed

Shapes = Mapping[str, tuple[int, ...]]


def renamed_modules(missing: Shapes, left_over: Shapes) -> dict[str, str]:
    """Match the tensors that a network misses with those that a file has left over, module by module.

    Two modules match if their tensors have the same names within them and the same shapes, and no other module does.

    Args:
        missing: name in the network -> shape.
        left_over: name in the file -> shape.

    Returns:
        Name in the network -> name in the file, for all missing tensors; empty where shapes leave a choice.
    """
    wanted, there = _modules(missing), _modules(left_over)
    found: dict[str, str] = {}
    for module, shapes in wanted.items():
        same = [other for other, theirs in there.items() if theirs == shapes]
        if len(same) != 1 or same[0] in found.values():
            return {}
        found[module] = same[0]
    return {_joined(module, end): _joined(found[module], end) for module, shapes in wanted.items() for end in shapes}


def _modules(shapes: Shapes) -> dict[str, dict[str, tuple[int, ...]]]:
    """Group tensors by their modules: module -> last part of the name -> shape."""
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        if is_needed(name):
            module, _, end = name.rpartition(".")
            found.setdefault(module, {})[end] = shape
    return found


def _joined(module: str, end: str) -> str:
    return f"{module}.{end}" if module else end
