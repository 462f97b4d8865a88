"""Builds networks by users' own functions, named as `<module>:<function>`."""

import json

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from lmc_mlflow.models.libraries.foreign_network import ForeignNetwork
from lmc_mlflow.own_code import call_own


def own_network(
    model: str, options: str, image_shape: tuple[int, int, int], num_classes: int, output: nn.Module
) -> ForeignNetwork:
    """Call a user's function `build(channels, height, width, num_classes, **options)`, and check what it returns.

    Args:
        model: `<module>:<function>`.
        options: further arguments, as JSON; empty: none.
        image_shape: channels, height and width.
        num_classes: of the output.
        output: module that ends the network.

    Raises:
        ValueError: the function is missing or raises, or returns no network that can be logged.
    """
    body = call_own("model", model, *image_shape, num_classes, **(json.loads(options) if options else {}))
    if not isinstance(body, nn.Module):
        raise ValueError(f"model {model!r} returned a {type(body).__name__}; return a torch.nn.Module")
    with_names = [*body.named_parameters(remove_duplicate=False), *body.named_buffers(remove_duplicate=False)]
    known: dict[int, str] = {}
    wanted = torch.get_default_device().type
    for name, tensor in with_names:
        if is_lazy(tensor):
            raise ValueError(
                f"model {model!r}: {name} is lazy and has no weights yet; call the network on a batch of zeros before "
                "you return it"
            )
        other = known.setdefault(id(tensor), name)
        if other != name:
            raise ValueError(
                f"model {model!r}: {other} and {name} are one tensor; weights that are shared are not moved"
            )
        if tensor.device.type != wanted:
            raise ValueError(
                f"model {model!r}: {name} is on {tensor.device}; leave the network on the CPU, device= moves it"
            )
    if not any(parameter.requires_grad for parameter in body.parameters()):
        raise ValueError(f"model {model!r} has no weight to train; leave requires_grad on where it shall learn")
    return ForeignNetwork(body, output)
