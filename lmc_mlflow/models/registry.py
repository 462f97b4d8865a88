"""How does a name become a network, from a seeded initialization?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from lmc_mlflow.config.choices import lookup, unknown_name
from lmc_mlflow.models.initialization import initialize
from lmc_mlflow.models.linear import LINEAR_FORM, linear, parse_linear
from lmc_mlflow.models.mlp import FORM, mlp, parse_mlp, table_v_names
from lmc_mlflow.models.patch_attention import patch_attention
from lmc_mlflow.models.patches import HIDDEN, PatchGrid, patch_grid, patches
from lmc_mlflow.models.resnet import EARLY_STRIDES, resnet
from lmc_mlflow.models.vgg import VGG11, VGG19, VGG_LIKE, vgg
from lmc_mlflow.seeds import global_stream


@dataclass(frozen=True)
class NetworkSpec:
    """Everything that decides a network's shape: with it and a state dict the network is rebuilt."""

    model: str
    channels: int
    height: int
    width: int
    num_classes: int
    dropout_rate: float = 0.5
    output: str = "log_probabilities"
    """`log_probabilities` of exclusive classes, or `logits` where an image may have several labels."""
    weights_init: str = "default"

    def difference(self, other: "NetworkSpec") -> str | None:
        """The first field of the architecture in which the two differ, in words, or None.

        Dropout rates and initializations may differ: they are nothing that an evaluated network knows of.
        """
        for name, mine in vars(self).items():
            if name in ("dropout_rate", "weights_init"):
                continue
            theirs = getattr(other, name)
            if mine != theirs:
                return f"{name}: {mine} vs {theirs}"
        return None


OUTPUTS: Mapping[str, Callable[[], nn.Module]] = {
    "log_probabilities": lambda: nn.LogSoftmax(dim=1),
    "logits": nn.Identity,
}
Builder = Callable[[NetworkSpec, nn.Module], nn.Module]


def _of_patches(spec: NetworkSpec, output: nn.Module) -> nn.Module:
    return patches(spec.model, _grid(spec), spec.num_classes, output)


def _grid(spec: NetworkSpec) -> PatchGrid:
    return patch_grid(spec.model, spec.channels, spec.height, spec.width)


NETWORKS: Mapping[str, Builder] = {
    "resnet10": lambda spec, output: resnet(1, spec.channels, spec.num_classes, output),
    "resnet22": lambda spec, output: resnet(3, spec.channels, spec.num_classes, output),
    "resnet10_s222": lambda spec, output: resnet(1, spec.channels, spec.num_classes, output, EARLY_STRIDES),
    "resnet22_s222": lambda spec, output: resnet(3, spec.channels, spec.num_classes, output, EARLY_STRIDES),
    "vgg11": lambda spec, output: vgg(VGG11, 1, spec.channels, spec.num_classes, output),
    "vgg19": lambda spec, output: vgg(VGG19, 1, spec.channels, spec.num_classes, output),
    "vgg_like": lambda spec, output: vgg(VGG_LIKE, 5, spec.channels, spec.num_classes, output),
    **dict.fromkeys(HIDDEN, _of_patches),
    "patches_attention": lambda spec, output: patch_attention(_grid(spec), spec.num_classes, output),
}
MODEL_FORMS = (FORM, LINEAR_FORM, *NETWORKS, "timm:<name>")


def build_network(spec: NetworkSpec, seed: int) -> nn.Module:
    """The network on the CPU, initialized from PyTorch's generator set to `seed`; maps (N, C, H, W) to
    log-probabilities or logits (N, K).

    Raises:
        ValueError: an unknown name, or images that this network cannot take.
    """
    with global_stream(seed, torch.device("cpu")):
        network = _builder(spec)(spec, lookup(OUTPUTS, spec.output, "output")())
        initialize(network, spec.weights_init)
    _try_out(network, spec)
    return network


def check_model(model: str) -> None:
    """Find out whether a name is a network's, before any images are there to build it for.

    Raises:
        ValueError: it is not.
    """
    if _builder(NetworkSpec(model, 1, 1, 1, 2)) is _timm_network:
        _check_timm(model)


def _builder(spec: NetworkSpec) -> Builder:
    if spec.model.startswith("timm:"):
        return _timm_network
    inputs = spec.channels * spec.height * spec.width
    if spec.model.startswith("mlp_"):
        layers = parse_mlp(spec.model)
        return lambda spec, output: mlp(layers, inputs, spec.num_classes, spec.dropout_rate, output)
    if spec.model.startswith("linear_"):
        widths = parse_linear(spec.model)
        return lambda spec, output: linear(widths, inputs, spec.num_classes, output)
    if spec.model not in NETWORKS:
        raise unknown_name("model", spec.model, [*NETWORKS, *table_v_names(), FORM, LINEAR_FORM, "timm:<name>"])
    return NETWORKS[spec.model]


class TimmNetwork(nn.Module):
    """A timm network followed by the output module."""

    def __init__(self, body: nn.Module, output: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.output = output

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K)."""
        out: Tensor = self.output(self.body(x))
        return out


def _check_timm(model: str) -> str:
    import timm

    name = model.removeprefix("timm:")
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=3)
        hint = f" (did you mean {' or '.join('timm:' + n for n in near)}?)" if near else ""
        raise ValueError(f"model {model!r}: timm {timm.__version__} knows no such network{hint}")
    return name


def _timm_network(spec: NetworkSpec, output: nn.Module) -> nn.Module:
    import timm

    name = _check_timm(spec.model)
    options: dict[str, Any] = {"pretrained": False, "in_chans": spec.channels, "num_classes": spec.num_classes}
    try:  # vision transformers are built for one image size, convolutional networks refuse to hear of it
        body = timm.create_model(name, img_size=(spec.height, spec.width), **options)
    except TypeError:
        body = timm.create_model(name, **options)
    return TimmNetwork(body, output)


def _try_out(network: nn.Module, spec: NetworkSpec) -> None:
    size = f"{spec.channels} x {spec.height} x {spec.width}"
    network.eval()
    try:
        with torch.no_grad():
            shape = tuple(network(torch.zeros(2, spec.channels, spec.height, spec.width)).shape)
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"model {spec.model!r} cannot take images of {size} ({reason}); choose another network or image size"
        ) from None
    if shape != (2, spec.num_classes):
        raise ValueError(
            f"model {spec.model!r} maps 2 images of {size} to {shape}, not to (2, {spec.num_classes}); it "
            "is no classifier"
        )
    network.train()
