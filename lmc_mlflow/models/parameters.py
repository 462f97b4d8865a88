"""Lists and counts the trainable parameters of a network."""

from collections.abc import Callable, Mapping

from torch import nn


def trainable(network: nn.Module) -> list[str]:
    """Return the names of the trainable parameters, in order."""
    return [name for name, parameter in network.named_parameters() if parameter.requires_grad]


def weight_arrays(network: nn.Module) -> list[str]:
    """Return the names of the weight matrices and kernels: trainable parameters with two axes or more.

    They are chosen by shape and not by name, so that biases and the scales of normalization layers, which
    all start at the same values, are left out whatever a network calls them.
    """
    named = dict(network.named_parameters())
    return [name for name in trainable(network) if named[name].ndim >= 2]


def num_parameters(network: nn.Module) -> int:
    """Count the trainable parameters (P of Table V)."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


MATCHED_ON: Mapping[str, Callable[[nn.Module], list[str]]] = {"parameters": trainable, "kernels": weight_arrays}
"""What a weight matching compares: everything that is trained, or weight matrices and kernels alone."""
