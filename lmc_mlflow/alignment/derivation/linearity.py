"""Finds the axes along which an operation does not let units be mixed by orthogonal matrices, only permuted."""

from collections.abc import Sequence

from lmc_mlflow.alignment.derivation.operation import Layout, Operation, Value
from lmc_mlflow.alignment.derivation.rules.products import letters_of
from lmc_mlflow.alignment.derivation.units.axes import Axis, length

_REARRANGING = """
    alias chunk clone contiguous detach dropout expand flatten lift_fresh lift_fresh_copy neg numpy_T permute reshape
    select slice split split_with_sizes squeeze swapaxes t to _to_copy transpose unbind unflatten unsqueeze
    _unsafe_view view
""".split()  # noqa: SIM905
_CONTRACTING = ("addmm", "baddbmm", "bmm", "matmul", "mm")


def bent_axes(operation: Operation) -> list[Axis]:
    """List the axes of the inputs whose units may be permuted, as the rule of the operation says, but not mixed."""
    name, layouts = operation.name, _layouts(operation)
    if name in (*_REARRANGING, "linear"):
        return []
    if name in _CONTRACTING:
        return [axis for layout in layouts for axis in layout[:-2]]
    if name == "einsum":
        letters, out = letters_of(operation["equation"], layouts, len(operation.shape))
        elementwise = {letter for letter in out if sum(letter in each for each in letters) > 1}
        return _of_letters(layouts, letters, elementwise)
    if name == "scaled_dot_product_attention":
        mixed = [operation[part].layout[-1] for part in ("query", "key", "value")]
        return [axis for layout in layouts for axis in layout if axis not in mixed]
    if name in ("add", "sub"):
        both = len(layouts) == 2
        return [axis for axis, num_full in _aligned(layouts) if not both or num_full == 1]
    if name in ("mul", "div", "true_divide"):
        divisor = layouts[1:] if name != "mul" else []
        one = [axis for axis, num_full in _aligned(layouts) if num_full > 1]
        return [*one, *(axis for layout in divisor for axis in layout)]
    return [axis for layout in layouts for axis in layout]


def _layouts(operation: Operation) -> list[Layout]:
    values = [
        each for value in operation.arguments.values() for each in (value if isinstance(value, list) else [value])
    ]
    return [value.layout for value in values if isinstance(value, Value)]


def _of_letters(layouts: Sequence[Layout], letters: Sequence[Sequence[str]], chosen: set[str]) -> list[Axis]:
    return [
        axis
        for layout, of_layout in zip(layouts, letters, strict=True)
        for axis, letter in zip(layout, of_layout, strict=True)
        if letter in chosen or of_layout.count(letter) > 1
    ]


def _aligned(layouts: Sequence[Layout]) -> list[tuple[Axis, int]]:
    """List the axes of more than one entry, with the number of tensors that have as many there."""
    found = []
    for layout in layouts:
        for back, axis in enumerate(reversed(layout)):
            if length(axis) > 1:
                full = sum(back < len(other) and length(other[-1 - back]) > 1 for other in layouts)
                found.append((axis, full))
    return found
