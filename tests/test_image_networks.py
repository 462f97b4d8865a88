"""ResNets of any width, DenseNet-40-12 and the attention networks are the ones of the literature."""

import itertools
from collections.abc import Mapping

import pytest
import torch
from torch import nn

from lmc_mlflow.alignment import compose, derive_symmetry, permute, random_permutations
from lmc_mlflow.alignment.methods.weights import match_weights
from lmc_mlflow.models.families import Facts, check_model, facts_of
from lmc_mlflow.models.parameters import num_parameters
from lmc_mlflow.models.patch_attention import Attention, TwiceProjectedAttention
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.models.resnet import PaddedShortcut

CIFAR10 = (3, 32, 32, 10)
COUNTS = {
    "resnet18_w64": 11_173_962,
    "resnet20_w16_padded": 269_722,  # 0.27 M in He et al., Table 6
    "resnet20_w16": 272_474,
    "densenet40_k12": 1_019_722,  # 1.0 M in Huang et al., Table 2
    "patches_attention": 638_602,
    "patches_attention_qkv2": 1_079_818,
}


def built(model: str, seed: int = 1, size: int = 32) -> nn.Module:
    return build_network(NetworkSpec(model, 3, size, size, 10), seed)


@pytest.mark.parametrize("model", COUNTS)
def test_parameters_are_as_many_as_in_the_literature(model: str) -> None:
    assert num_parameters(built(model)) == COUNTS[model]


@pytest.mark.parametrize("width", [1, 4, 16])
def test_a_resnet18_has_as_many_parameters_as_its_width_says(width: int) -> None:
    # Kernels in units of width squared, 3x3 of 9: stage 1 has 4 of 1 to 1; stage i has 1 from half, 3 of its own, and a
    # 1x1 shortcut. Two numbers a channel for every batch norm.
    kernels = 9 * 4 + sum(4**i * (9 * 3.5 + 0.5) for i in (1, 2, 3))
    norms = 2 * (1 + 4 + sum(5 * 2**i for i in (1, 2, 3)))
    expected = 27 * width + kernels * width**2 + norms * width + 10 * (8 * width + 1)
    assert num_parameters(built(f"resnet18_w{width}")) == expected


@pytest.mark.parametrize("model", ["resnet18_w2", "resnet20_w2", "resnet20_w2_padded"])
def test_stages_halve_the_images_from_the_second_on(model: str) -> None:
    network, sizes = built(model), []
    assert isinstance(network, nn.Sequential)
    for name, module in network.named_children():
        if name.startswith(("relu", "stage")):
            module.register_forward_hook(lambda *args: sizes.append(tuple(args[2].shape[1:])))
    network(torch.zeros(2, 3, 32, 32))
    stages = [(2, 32, 32), (4, 16, 16), (8, 8, 8), (16, 4, 4)]
    assert sizes == [(2, 32, 32), *stages[: 4 if "18" in model else 3]]


def test_a_shortcut_without_parameters_takes_every_other_pixel_and_adds_zeros() -> None:
    image = torch.arange(1.0, 10).view(1, 1, 3, 3)
    found = PaddedShortcut(1, 3, 2)(image)
    assert found[0].tolist() == [[[0, 0], [0, 0]], [[1, 3], [7, 9]], [[0, 0], [0, 0]]]


def test_densenet_puts_each_layer_behind_what_came_in_and_halves_the_images_twice() -> None:
    network = built("densenet40_k12").eval()
    images = torch.randn(2, 3, 32, 32)
    shapes = {}
    for name in ("block1", "transition1", "block2", "block3"):
        network.get_submodule(name).register_forward_hook(
            lambda _, given, out, name=name: shapes.update({name: (tuple(out.shape[1:]), given[0], out)})
        )
    network(images)
    assert [shape for shape, _, _ in shapes.values()] == [(160, 32, 32), (160, 16, 16), (304, 16, 16), (448, 8, 8)]
    _, given, out = shapes["block1"]
    assert torch.equal(out[:, :16], given)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(convolutions) == 40


@pytest.mark.parametrize("model", ["resnet18_w4", "resnet20_w4", "resnet20_w4_padded", "densenet40_k12"])
def test_a_planted_permutation_is_found_by_matching_weights(model: str) -> None:
    network = built(model, size=8).eval()
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    symmetry = derive_symmetry(network, images)
    state = network.state_dict()
    planted = random_permutations(symmetry, torch.Generator().manual_seed(2))
    found = match_weights(symmetry, state, permute(symmetry, state, planted), seed=0)
    back = permute(symmetry, state, compose(planted, found.permutations))
    assert all(torch.equal(back[name], state[name]) for name in state)


def test_all_hidden_channels_of_a_thin_resnet_may_move() -> None:
    assert derive_symmetry(built("resnet18_w4"), torch.zeros(2, 3, 32, 32)).sizes == {
        "conv": 4,
        "stage1.0.conv1": 4,
        "stage1.1.conv1": 4,
        **{f"stage{i}.{name}": 4 * 2 ** (i - 1) for i in (2, 3, 4) for name in ("0.conv1", "0.conv2", "1.conv1")},
    }


@pytest.mark.parametrize(
    ("model", "facts"),
    [
        ("resnet18_w64", Facts("ResNet", 18, "w64", "batch")),
        ("resnet20_w4_padded", Facts("ResNet", 20, "w4_padded", "batch")),
        ("densenet40_k12", Facts("DenseNet", 40, "k12", "batch")),
    ],
)
def test_the_facts_of_a_name(model: str, facts: Facts) -> None:
    assert facts_of(model) == facts


@pytest.mark.parametrize("model", ["resnet18_w0", "resnet18_w", "resnet18_w64_padded", "resnet20_16", "resnet18_w0.25"])
def test_a_name_without_a_width_says_how_a_resnet_is_called(model: str) -> None:
    with pytest.raises(ValueError, match=r"resnet18_w<width>.*resnet20_w<width>\[_padded\].*resnet18_w64"):
        check_model(model)


# the attention network of Altintas et al.

WIDTH, PATCHES, PIXELS, CLASSES = 384, 64, 48, 10
SQUARE = WIDTH * WIDTH
EXTRAS: Mapping[str, int] = {
    "nothing": 0,
    "mixing of the patches": PATCHES * (PATCHES + 1),
    "a dense layer 384 -> 384": SQUARE + WIDTH,
    "queries, keys, values again": 3 * (SQUARE + WIDTH),
    "queries, keys, values again, no bias": 3 * SQUARE,
}
HEADS: Mapping[str, int] = {
    "linear": WIDTH * CLASSES + CLASSES,
    **{f"hidden {h}": WIDTH * h + h + h * CLASSES + CLASSES for h in (256, 512, 1024)},
    "linear on all patches": PATCHES * WIDTH * CLASSES + CLASSES,
}


def count(
    positions: bool, token: bool, norms: int, bias: bool, projection: bool, extra: str = "nothing", head: str = "linear"
) -> int:
    """Parameters of a variant of the attention network on 3 x 32 x 32 with 10 classes, on paper."""
    inputs = PIXELS * WIDTH + WIDTH
    inner = 3 * SQUARE + 3 * WIDTH * bias + projection * (SQUARE + WIDTH) + norms * 2 * WIDTH
    on_all = token * WIDTH * CLASSES if head == "linear on all patches" else 0
    places = positions * (PATCHES + token) * WIDTH + token * WIDTH
    return inputs + inner + places + EXTRAS[extra] + HEADS[head] + on_all


def test_of_the_variants_only_those_that_project_twice_have_1_08_million_and_the_nearest_is_built() -> None:
    both = (False, True)
    variants = list(itertools.product(both, both, (0, 1, 2), both, both, EXTRAS, HEADS))
    assert len(variants) == 1200
    near = [variant for variant in variants if round(count(*variant), -4) == 1_080_000]
    assert len(near) == 24
    assert {(positions, projection, head) for positions, _, _, _, projection, _, head in near} == {
        (True, True, "linear")
    }
    assert {extra.split(",")[0] for *_, extra, _ in near} == {"queries"}
    nearest = min(near, key=lambda variant: abs(count(*variant) - 1_080_000))
    assert nearest == (True, False, 0, False, True, "queries, keys, values again, no bias", "linear")
    assert count(*nearest) == COUNTS["patches_attention_qkv2"]
    assert count(True, False, 0, True, True) == COUNTS["patches_attention"]


def test_two_projections_are_one_with_the_product_of_their_weights() -> None:
    twice, once = TwiceProjectedAttention().double(), Attention(bias=False).double()
    again = torch.block_diag(twice.queries.weight, twice.keys.weight, twice.values.weight)
    with torch.no_grad():
        once.queries_keys_values.weight.copy_(again @ twice.queries_keys_values.weight)
        once.projection.load_state_dict(twice.projection.state_dict())
        x = torch.randn(2, 5, WIDTH, dtype=torch.float64)
        assert torch.allclose(twice(x), once(x), atol=1e-12)
        assert not torch.allclose(twice(x), twice(2 * x), atol=1e-3)


def test_attention_with_two_projections_trains_on_images_that_four_divides_and_refuses_others() -> None:
    assert built("patches_attention_qkv2", size=8)(torch.zeros(2, 3, 8, 8)).shape == (2, 10)
    with pytest.raises(ValueError, match="images of 10 x 10 cannot be divided into patches"):
        built("patches_attention_qkv2", size=10)
