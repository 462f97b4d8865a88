"""Builds networks of torchvision."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from torch import nn

from lmc_mlflow.errors import first_line
from lmc_mlflow.models.libraries.foreign_network import ForeignNetwork
from lmc_mlflow.models.libraries.model_options import read_options

CHANNELS = 3
FIXED = {
    "num_classes": "the data decide it",
    "weights": "networks start from random weights",
    "aux_logits": "networks have one output",
    "progress": "it changes no network",
    "image_size": "the data decide it",
    "input_size": "the data decide it",
}
"""Arguments that `model_options` may not give, and why."""
_ONE_OUTPUT: Mapping[str, Mapping[str, Any]] = {
    name: {"aux_logits": False, "init_weights": True} for name in ("googlenet", "inception_v3")
}
"""Arguments of the networks that would return auxiliary outputs in training."""
_VISION_TRANSFORMERS = ("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14")


def check_torchvision(model: str) -> str:
    """Return torchvision's own name of an image classifier `torchvision:<name>`.

    Raises:
        ValueError: torchvision has no such classifier; the message gives similar names.
    """
    import torchvision  # takes a second to load, and few networks need it

    name = model.removeprefix("torchvision:")
    there = torchvision.models.list_models(module=torchvision.models)
    if name not in there:
        near = get_close_matches(name, there, n=3)
        hint = f" (did you mean {' or '.join('torchvision:' + n for n in near)}?)" if near else ""
        raise ValueError(f"model {model!r}: torchvision {torchvision.__version__} knows no such image classifier{hint}")
    return name


def torchvision_body(model: str, options: str, image_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Build an untrained network of torchvision, as torchvision returns it.

    Args:
        model: `torchvision:<name>`.
        options: further arguments, as JSON; empty: none.
        image_shape: channels, height and width.
        num_classes: of the output.

    Raises:
        ValueError: torchvision has no such network, it does not take these arguments, or not these images.
    """
    import torchvision

    name = check_torchvision(model)
    channels, height, width = image_shape
    if channels != CHANNELS:
        raise ValueError(
            f"model {model!r} takes images with {CHANNELS} channels, not {channels}; give channels={CHANNELS} for "
            "grey images, or a network of timm, which takes any number"
        )
    arguments = {**read_options(model, options, FIXED), **_ONE_OUTPUT.get(name, {})}
    if name in _VISION_TRANSFORMERS:
        if height != width:
            raise ValueError(f"model {model!r} takes square images, not {height} x {width}; choose another image size")
        arguments["image_size"] = height
    elif name == "maxvit_t":
        arguments["input_size"] = (height, width)
    try:
        body: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=num_classes, **arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"model {model!r} cannot be built ({first_line(error)}); change model_options or the image size"
        ) from None
    return body


def torchvision_network(
    model: str, options: str, image_shape: tuple[int, int, int], num_classes: int, output: nn.Module
) -> ForeignNetwork:
    """Build an untrained network of torchvision with the output module at its end.

    Arguments and errors as in `torchvision_body`.

    Args:
        model: `torchvision:<name>`.
        options: further arguments, as JSON; empty: none.
        image_shape: channels, height and width.
        num_classes: of the output.
        output: module that ends the network.
    """
    return ForeignNetwork(torchvision_body(model, options, image_shape, num_classes), output)
