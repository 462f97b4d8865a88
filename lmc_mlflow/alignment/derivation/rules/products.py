"""Symmetry rule of Einstein's sums: axes with one letter move alike."""

from collections.abc import Sequence

from lmc_mlflow.alignment.derivation.operation import Layout, Operation
from lmc_mlflow.alignment.derivation.units.contexts import tie
from lmc_mlflow.alignment.derivation.units.groups import Groups


def einsum(groups: Groups, operation: Operation) -> Layout:
    """Tie all axes that have the same letter; a letter that is twice in one tensor (a diagonal) is frozen."""
    layouts = [value.layout for value in operation["tensors"]]
    inputs, out = letters_of(operation["equation"], layouts, len(operation.shape))
    for letters, layout in zip(inputs, layouts, strict=True):
        for letter, axis in zip(letters, layout, strict=True):
            if letters.count(letter) > 1:
                groups.freeze(axis)
    return tie(groups, list(zip(layouts, inputs, strict=True)), out)


def letters_of(equation: str, layouts: Sequence[Layout], num_out: int) -> tuple[list[list[str]], list[str]]:
    """Give a letter to every axis of every tensor, and to those of the output; axes of an ellipsis get numbers."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    inputs = [_spelled(term, len(layout)) for term, layout in zip(terms, layouts, strict=True)]
    if arrow:
        return inputs, _spelled(right, num_out)
    every = [letter for letters in inputs for letter in letters]
    numbers = sorted({letter for letter in every if letter[0] == "-"}, key=int)
    return inputs, [*numbers, *sorted(letter for letter in set(every) if letter[0] != "-" and every.count(letter) == 1)]


def _spelled(term: str, num_axes: int) -> list[str]:
    before, dots, after = term.partition("...")
    if not dots:
        return list(term)
    num_more = num_axes - len(before) - len(after)
    return [*before, *(str(-i) for i in range(num_more, 0, -1)), *after]
