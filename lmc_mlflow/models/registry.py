"""Builds networks by name, each from a seeded initialization."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psutil
import torch
from torch import Tensor, nn

from lmc_mlflow.config.choices import lookup
from lmc_mlflow.errors import first_line, shortened
from lmc_mlflow.models.densenet import densenet
from lmc_mlflow.models.families import FORMS, GRAPH_FORM, TIMM_FORM, TORCHVISION_FORM, TRANSFORMERS_FORM, form_of
from lmc_mlflow.models.graphs.network import graph_network
from lmc_mlflow.models.initialization import initialize
from lmc_mlflow.models.libraries.foreign_network import GIVES, ForeignNetwork, without_memory
from lmc_mlflow.models.libraries.own_networks import own_network
from lmc_mlflow.models.libraries.timm_networks import timm_network
from lmc_mlflow.models.libraries.torchvision_networks import torchvision_network
from lmc_mlflow.models.libraries.transformers_networks import transformers_network
from lmc_mlflow.models.linear import linear
from lmc_mlflow.models.mlp import mlp
from lmc_mlflow.models.names import (
    LINEAR_FORM,
    MLP_FORM,
    RESNET_FORMS,
    parse_linear,
    parse_mlp,
    parse_resnet,
)
from lmc_mlflow.models.patch_attention import TwiceProjectedAttention, patch_attention
from lmc_mlflow.models.patches import PatchGrid, patch_grid, patches
from lmc_mlflow.models.resnet import EARLY_STRIDES, STAGE_STRIDES, Stages, resnet
from lmc_mlflow.models.vgg import VGG11, VGG19, VGG_LIKE, vgg
from lmc_mlflow.own_code import FORM
from lmc_mlflow.seeds import global_stream


@dataclass(frozen=True)
class NetworkSpec:
    """Everything that decides a network's shape; with it and a state dict the network is rebuilt."""

    model: str
    channels: int
    height: int
    width: int
    num_classes: int
    dropout_rate: float = 0.5
    output: str = "log_probabilities"
    """`log_probabilities` of exclusive classes, or `logits` where an image may have several labels."""
    weights_init: str = "default"
    model_options: str = ""
    """Further arguments of a network of a user or of a library, as JSON."""
    source: str = ""
    """Digest of the file of a user's own builder, as it was when the network was made."""
    graph: str = ""
    """Text of the graph of a network `graph:<digest>`, which stands in an artifact of its own."""
    gives: str = "logits"
    """What the body of a network that was trained elsewhere returns: a row of `GIVES`."""

    @property
    def num_inputs(self) -> int:
        """Numbers in an image, C H W."""
        return self.channels * self.height * self.width

    def difference(self, other: "NetworkSpec") -> str | None:
        """Return the first field of the architecture in which the two differ, with both values, or None.

        Dropout rates and initializations may differ: they do not change what a trained network computes. So may the
        source of a user's own builder, where what it builds has the same weights. The name of a graph is its digest.
        """
        for name, mine in vars(self).items():
            if name in ("dropout_rate", "weights_init", "source", "graph"):
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


def _grid(spec: NetworkSpec) -> PatchGrid:
    return patch_grid(spec.model, spec.channels, spec.height, spec.width)


def _of_patches(spec: NetworkSpec, output: nn.Module) -> nn.Module:
    return patches(spec.model, _grid(spec), spec.num_classes, output)


def _resnet(num_blocks: int, strides: Sequence[int] = STAGE_STRIDES) -> Builder:
    plan = Stages.of_table_v(num_blocks, strides)
    return lambda spec, output: resnet(plan, spec.channels, spec.num_classes, output)


def _resnet_of_width(spec: NetworkSpec, output: nn.Module) -> nn.Module:
    return resnet(Stages.of_name(parse_resnet(spec.model)), spec.channels, spec.num_classes, output)


def _of_others(build: Callable[[str, str, tuple[int, int, int], int, nn.Module], nn.Module]) -> Builder:
    """Make the builder of networks that others have written."""
    return lambda spec, output: build(
        spec.model, spec.model_options, (spec.channels, spec.height, spec.width), spec.num_classes, output
    )


def _traced(spec: NetworkSpec, output: nn.Module) -> nn.Module:
    if not spec.graph:
        FORMS[GRAPH_FORM].check(spec.model)
    return ForeignNetwork(graph_network(spec.graph), output)


def _vgg(plan: Sequence[int], pool_size: int = 1) -> Builder:
    return lambda spec, output: vgg(plan, pool_size, spec.channels, spec.num_classes, output)


BUILDERS: Mapping[str, Builder] = {
    MLP_FORM: lambda spec, output: mlp(
        parse_mlp(spec.model), spec.num_inputs, spec.num_classes, spec.dropout_rate, output
    ),
    LINEAR_FORM: lambda spec, output: linear(parse_linear(spec.model), spec.num_inputs, spec.num_classes, output),
    **dict.fromkeys(RESNET_FORMS, _resnet_of_width),
    "resnet10": _resnet(1),
    "resnet22": _resnet(3),
    "resnet10_s222": _resnet(1, EARLY_STRIDES),
    "resnet22_s222": _resnet(3, EARLY_STRIDES),
    "vgg11": _vgg(VGG11),
    "vgg19": _vgg(VGG19),
    "vgg_like": _vgg(VGG_LIKE, pool_size=5),
    "densenet40_k12": lambda spec, output: densenet(40, 12, spec.channels, spec.num_classes, output),
    "patches_dense": _of_patches,
    "patches_local": _of_patches,
    "patches_conv": _of_patches,
    "patches_attention": lambda spec, output: patch_attention(_grid(spec), spec.num_classes, output),
    "patches_attention_qkv2": lambda spec, output: patch_attention(
        _grid(spec), spec.num_classes, output, TwiceProjectedAttention
    ),
    TIMM_FORM: _of_others(timm_network),
    TORCHVISION_FORM: _of_others(torchvision_network),
    TRANSFORMERS_FORM: _of_others(transformers_network),
    GRAPH_FORM: _traced,
    FORM: _of_others(own_network),
}
"""One builder for each row of `families.py`, in its order."""


def build_network(spec: NetworkSpec, seed: int) -> nn.Module:
    """Build a network on the CPU, initialized from PyTorch's generator set to `seed`.

    It maps images (N, C, H, W) to log-probabilities or logits (N, K).

    Raises:
        ValueError: an unknown name, more weights than memory can hold, or images that this network cannot take.
    """
    _check_size(spec)
    with global_stream(seed, torch.device("cpu")):
        network = BUILDERS[form_of(spec.model)](spec, _output(spec))
        initialize(network, spec.weights_init)
    _try_out(network, spec)
    return network


def empty_state(spec: NetworkSpec) -> dict[str, Tensor]:
    """Return the names, shapes and types of a network's state, without any memory for it.

    Raises:
        ValueError: an unknown name, or sizes that no memory can hold.
    """
    if form_of(spec.model) == FORM:  # code that need not know of devices without memory
        return dict(build_network(spec, seed=0).state_dict())
    try:
        network = without_memory(lambda: BUILDERS[form_of(spec.model)](spec, _output(spec)))
    except (RuntimeError, OverflowError, TypeError, MemoryError) as error:
        raise ValueError(f"model {shortened(spec.model)!r} is too large ({first_line(error)})") from None
    return dict(network.state_dict())


def _output(spec: NetworkSpec) -> nn.Module:
    """Make the module that ends a network: it turns what the body gives into what is measured here."""
    output = lookup(OUTPUTS, spec.output, "output")()
    to_logits = lookup(GIVES, spec.gives, "output")
    return output if to_logits is None else nn.Sequential(to_logits(spec.output), output)


def check_repeats(spec: NetworkSpec, seed: int, network: nn.Module) -> None:
    """Check that a user's own builder gives the same weights once more from the same seed.

    Args:
        spec: what was built.
        seed: it was built from.
        network: as it was built.

    Raises:
        ValueError: it does not: the network could not be trained again.
    """
    if form_of(spec.model) != FORM:
        return
    again = build_network(spec, seed).state_dict()
    for name, value in network.state_dict().items():
        if name not in again or not torch.equal(value, again[name]):
            raise ValueError(
                f"model {spec.model!r}: {name} differs when it is built again from the same seed; draw its weights "
                "from PyTorch's generator alone"
            )


def _check_size(spec: NetworkSpec) -> None:
    """Refuse widths of the user's own that would fill the memory several times, before any is taken."""
    if form_of(spec.model) not in (MLP_FORM, LINEAR_FORM, *RESNET_FORMS):
        return
    needed = sum(value.numel() * value.element_size() for value in empty_state(spec).values())
    free = psutil.virtual_memory().available
    if needed > free:
        raise ValueError(
            f"model {shortened(spec.model)!r} has {needed / 2**30:,.1f} GiB of weights for {spec.num_inputs:,} inputs, "
            f"{free / 2**30:,.1f} GiB of memory are free; choose smaller widths"
        )


def _try_out(network: nn.Module, spec: NetworkSpec) -> None:
    size = f"{spec.channels} x {spec.height} x {spec.width}"
    network.eval()
    try:
        with torch.no_grad():
            shape = tuple(network(torch.zeros(2, spec.channels, spec.height, spec.width)).shape)
    except Exception as error:  # noqa: BLE001 (it may be a user's code, which may raise anything)
        raise ValueError(
            f"model {spec.model!r} cannot take images of {size} ({first_line(error)}); "
            "choose another network or image size"
        ) from None
    if shape != (2, spec.num_classes):
        raise ValueError(
            f"model {spec.model!r} maps 2 images of {size} to {shape}, not to (2, {spec.num_classes}); it "
            "is no classifier"
        )
    network.train()
