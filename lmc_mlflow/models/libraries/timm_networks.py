"""Builds networks of timm."""

from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from lmc_mlflow.config.choices import unknown_name
from lmc_mlflow.errors import first_line
from lmc_mlflow.models.libraries.foreign_network import ForeignNetwork
from lmc_mlflow.models.libraries.model_options import read_options
from lmc_mlflow.normalization.recalibration import batch_norms

FIXED = {
    "num_classes": "the data decide it",
    "in_chans": "the data decide it",
    "pretrained": "networks start from random weights",
    "pretrained_cfg": "networks start from random weights",
    "pretrained_cfg_overlay": "networks start from random weights",
    "checkpoint_path": "networks start from random weights",
    "features_only": "networks end in classes",
    "scriptable": "it changes no network",
}
"""Arguments that `model_options` may not give, and why."""


def check_timm(model: str) -> str:
    """Return timm's own name of a network `timm:<name>`.

    Raises:
        ValueError: timm has no such network; the message gives similar names.
    """
    import timm  # takes seconds to load, and few networks need it

    name = model.removeprefix("timm:")
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=3)
        hint = f" (did you mean {' or '.join('timm:' + n for n in near)}?)" if near else ""
        raise ValueError(f"model {model!r}: timm {timm.__version__} knows no such network{hint}")
    return name


def refuse_pretrained(model: str) -> None:
    """Refuse to train `timm:<name>.<tag>`: the tag names pretrained weights, and training starts from random ones.

    Networks that an earlier version trained under such a name can still be loaded.

    Raises:
        ValueError: the name has a tag; the message gives the name without it.
    """
    plain, dot, weights = model.partition(".")
    if model.startswith("timm:") and dot:
        raise ValueError(
            f"model {model!r}: {weights!r} names pretrained weights, and networks start from random ones here; "
            f"give model={plain}"
        )


def timm_normalization(model: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and the standard deviation of pixels in [0, 1] by which timm scales a network's images.

    Args:
        model: `timm:<name>`, or `timm:<name>.<tag>` for the images of these pretrained weights.

    Raises:
        ValueError: timm has no such network, or no such weights of it; the message gives those there are.
    """
    import timm

    name = check_timm(model)
    plain, _, tag = name.partition(".")
    tags = [known.partition(".")[2] for known in timm.list_models(f"{plain}.*", pretrained=True)]
    if tag and tag not in tags:
        raise unknown_name(f"weights of timm:{plain}", tag, tags)
    known: Any = timm.models.get_pretrained_cfg(name)
    data: Any = timm.data
    found = data.resolve_data_config(pretrained_cfg=known.to_dict() if known else {})
    return tuple(found["mean"]), tuple(found["std"])


def timm_network(
    model: str, options: str, image_shape: tuple[int, int, int], num_classes: int, output: nn.Module
) -> ForeignNetwork:
    """Build an untrained network of timm.

    Args:
        model: `timm:<name>`.
        options: further arguments, as JSON; empty: none.
        image_shape: channels, height and width.
        num_classes: of the output.
        output: module that ends the network.

    Raises:
        ValueError: timm has no such network, or it does not take these arguments.
    """
    import timm

    name = check_timm(model)
    further = read_options(model, options, FIXED)
    channels, height, width = image_shape
    arguments: dict[str, Any] = {"pretrained": False, "in_chans": channels, "num_classes": num_classes, **further}
    try:  # vision transformers are built for one image size, convolutional networks do not take the argument
        body = timm.create_model(name, **{"img_size": (height, width), **arguments})
    except TypeError:
        try:
            body = timm.create_model(name, **arguments)
        except TypeError as error:
            raise ValueError(
                f"model {model!r} cannot be built ({first_line(error)}); change model_options or the image size"
            ) from None
    return ForeignNetwork(body, output)


def timm_has_batch_norm(model: str) -> bool:
    """Tell whether a network of timm has batch norm with running statistics; True where timm has no such network.

    The network is built on the meta device, which holds shapes and no numbers.
    """
    import timm

    name = model.removeprefix("timm:")
    if not timm.is_model(name):
        return True
    with torch.device("meta"):
        return bool(batch_norms(timm.create_model(name, pretrained=False)))
