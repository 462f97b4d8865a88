"""Maps the names of a state dict that somebody else has saved to those of a built network."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from lmc_mlflow.errors import shortened
from lmc_mlflow.models.weight_files.prefixes import PrefixFit, fit_prefixes, is_needed, some
from lmc_mlflow.models.weight_files.renamed_modules import renamed_modules
from lmc_mlflow.models.weight_files.values import fit_values

HOOKS = frozenset(["total_ops", "total_params", "n_averaged", "_extra_state"])
"""Last parts of names that profilers and averagers leave in a state dict."""
CONSTANTS = frozenset(["relative_position_index", "relative_coords_table", "attn_mask", "position_ids"])
"""Last parts of names of numbers that follow from the architecture; files of earlier versions have them."""
OUTSIDE = ("loss", "criterion", "metric", "acc", "aux", "class_weight", "pos_weight", "ema", "teacher")
"""Beginnings or ends of the first part of names that belong to a training and not to its network."""


def match_keys(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Give the tensors of a file the names that a network gives them.

    Prefixes that differ are found, those of DataParallel and torch.compile too; modules of another name are found by
    their shapes where these leave no choice. Missing counters of batch norm are 0; names of profilers and of losses
    are left out; half precision becomes float32.

    Args:
        state: name -> tensor, of a file.
        expected: name -> tensor, of a network; values are not read, so they may be without memory.

    Returns:
        The tensors in the order and with the names of the network, and sentences that say what was done.

    Raises:
        ValueError: names the first tensor that is missing, left over, ambiguous, or of another shape or type.
    """
    surplus = (HOOKS | CONSTANTS) - {_last(name) for name in expected}
    hooks = [name for name in state if _last(name) in surplus]
    fit = fit_prefixes({name: value for name, value in state.items() if _last(name) not in surplus}, expected)
    missing = [name for name in expected if name not in fit.names and is_needed(name)]
    renamed = renamed_modules(
        {name: tuple(expected[name].shape) for name in missing},
        {name: tuple(fit.tensors[name].shape) for name in fit.unused},
    )
    if missing and not renamed:
        raise _missing(missing[0], expected, fit)
    unused = [name for name in fit.unused if name not in renamed.values()]
    _check_left_over(unused, expected, fit)
    names = {**fit.names, **renamed}
    values, converted = fit_values({name: fit.tensors[names[name]] for name in expected if name in names}, expected)
    notes = [*fit.notes, *converted]
    if renamed:
        notes.append(f"found by their shapes: {some([f'{mine} is {theirs}' for mine, theirs in renamed.items()])}")
    if unused or hooks:
        notes.append(f"left out, as no part of the network: {some([*unused, *hooks])}")
    return values, notes


def _missing(name: str, expected: Mapping[str, Tensor], fit: PrefixFit) -> ValueError:
    """Make the error for a tensor that is not in the file; it says what the file has instead."""
    shape = tuple(expected[name].shape)
    same_end = [other for other in fit.unused if _last(other) == _last(name) and fit.tensors[other].ndim == len(shape)]
    if len(same_end) == 1:
        theirs = tuple(fit.tensors[same_end[0]].shape)
        if theirs[1:] == shape[1:]:
            return ValueError(
                f"number of classes: {theirs[0]} in the file vs {shape[0]} in the network ({same_end[0]}: shape "
                f"{theirs} vs {name}: shape {shape}); give the data that the file was trained on, or another head"
            )
    left = [f"{shortened(other)} of shape {tuple(fit.tensors[other].shape)}" for other in same_end] or fit.unused
    has = f"what it has beside the network is {some(left)}" if left else "it has nothing else"
    return ValueError(
        f"{name}: shape {shape} in the network, missing in the file; {has}; choose the network that the file was saved "
        "from"
    )


def _check_left_over(unused: Sequence[str], expected: Mapping[str, Tensor], fit: PrefixFit) -> None:
    """Refuse tensors within the network that it does not have: it would compute something else without them.

    What stands outside the network's prefix, or is named as something of the training, may be left out.
    """
    modules = {_first(name.removeprefix(fit.network_prefix)) for name in expected}
    for name in unused:
        if not name.startswith(fit.file_prefix):
            continue
        module = _first(name.removeprefix(fit.file_prefix))
        if module in modules or not (module.startswith(OUTSIDE) or module.endswith(OUTSIDE)):
            shape = tuple(fit.tensors[name].shape)
            raise ValueError(
                f"{shortened(name)}: shape {shape} in the file, missing in the network; choose the network that the "
                "file was saved from"
            )


def _first(name: str) -> str:
    return name.partition(".")[0]


def _last(name: str) -> str:
    return name.rpartition(".")[2]
