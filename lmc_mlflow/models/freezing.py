"""Freezes tensors of a network: they are not trained, and batch norms of frozen layers keep their statistics."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

SHOWN = 12
"""Names that a message lists."""


def freeze(network: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Freeze the parameters (in place) whose names match a pattern, and name them.

    Args:
        network: newly built.
        patterns: as of a shell, `0.*` or `features.*.weight`; none: nothing is frozen.

    Raises:
        ValueError: a pattern matches no name, or nothing is left to train.
    """
    names = [name for name, _ in network.named_parameters()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            raise ValueError(f"freeze={pattern}: no tensor is called so; there are {', '.join(names[:SHOWN])}{more}")
    frozen = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    if len(frozen) == len(names):
        raise ValueError(f"freeze={','.join(patterns)}: that is every tensor; leave some to train")
    for name, parameter in network.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)
    return frozen


def is_frozen(network: nn.Module) -> bool:
    """Tell whether some tensors of a network are frozen."""
    return not all(parameter.requires_grad for parameter in network.parameters())


def set_training(network: nn.Module) -> None:
    """Put a network in training mode (in place), but for layers all of whose parameters are frozen.

    A batch norm among these normalizes by the statistics that it has, and does not change them.
    """
    network.train()
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            module.eval()
