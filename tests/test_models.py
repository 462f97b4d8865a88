"""The networks are those of the paper, seeded, and refused with a clear message where they do not fit."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lmc_mlflow.models.parameters import num_parameters, trainable, weight_arrays
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.models.vgg import AveragePool

MNIST = (1, 28, 28, 10)
CIFAR10 = (3, 32, 32, 10)
TABLE_V = [
    ("mlp_l1_w587", MNIST, 466_675),
    ("mlp_l1_w587_bn", MNIST, 467_849),
    ("mlp_l3_w256_512_256", MNIST, 466_442),
    ("mlp_l1_w126", CIFAR10, 388_468),
    ("mlp_l3_w110_256_110", CIFAR10, 395_826),
    ("resnet10", MNIST, 303_866),
    ("resnet22", MNIST, 1_079_802),
    ("resnet10_s222", MNIST, 303_866),
    ("resnet22_s222", CIFAR10, 1_080_090),
    ("resnet10", CIFAR10, 304_154),
    ("resnet22", CIFAR10, 1_080_090),
    ("vgg11", CIFAR10, 9_231_114),
    ("vgg19", CIFAR10, 20_040_522),
    ("vgg_like", (1, 120, 120, 19), 1_082_771),
]
EVERY = [
    *("mlp_l1_w5", "mlp_l2_w5_4_bn", "mlp_l1_w5_bn_dropout", "mlp_l2_w5_ln_leaky0.1", "linear_l1", "linear_l3_w5"),
    *("resnet10", "vgg11", "vgg_like", "patches_local", "patches_conv", "patches_attention", "timm:resnet18"),
]


def spec(model: str, shape: tuple[int, int, int, int] = CIFAR10) -> NetworkSpec:
    return NetworkSpec(model, *shape)


@pytest.mark.parametrize(("model", "shape", "count"), TABLE_V)
def test_parameter_counts_are_those_of_table_v(model: str, shape: tuple[int, int, int, int], count: int) -> None:
    assert num_parameters(build_network(spec(model, shape), seed=1)) == count


@pytest.mark.parametrize("model", EVERY)
def test_outputs_are_log_probabilities(model: str) -> None:
    network = build_network(spec(model), seed=1).eval()
    outputs = network(torch.randn(4, 3, 32, 32))
    assert outputs.shape == (4, 10)
    assert torch.allclose(outputs.exp().sum(dim=1), torch.ones(4), atol=1e-5)


@pytest.mark.parametrize("model", EVERY)
def test_the_same_seed_gives_the_same_network_and_another_seed_another(model: str) -> None:
    networks = [build_network(spec(model), seed).state_dict() for seed in (3, 3, 4)]
    assert all(torch.equal(networks[0][name], networks[1][name]) for name in networks[0])
    assert any(not torch.equal(networks[0][name], networks[2][name]) for name in networks[0])


def test_early_strides_halve_the_images_of_every_stage() -> None:
    sizes = {}
    for model in ("resnet10", "resnet10_s222"):
        network = build_network(spec(model, MNIST), seed=1)
        sizes[model] = []
        for i in (1, 2, 3):
            stage = network.get_submodule(f"stage{i}")
            stage.register_forward_hook(lambda *args, seen=sizes[model]: seen.append(args[2].shape[-1]))
        network(torch.zeros(2, 1, 28, 28))
    assert sizes == {"resnet10": [28, 14, 7], "resnet10_s222": [14, 7, 4]}


def test_building_leaves_batch_norm_fresh_and_the_network_in_training_mode() -> None:
    network = build_network(spec("resnet10"), seed=1)
    assert network.training
    assert network.state_dict()["norm.num_batches_tracked"].item() == 0


def test_weight_arrays_leave_out_biases_and_batch_norm() -> None:
    network = build_network(spec("mlp_l1_w5_bn"), seed=1)
    assert set(trainable(network)) - set(weight_arrays(network)) == {
        "linear1.bias",
        "norm1.weight",
        "norm1.bias",
        "linear2.bias",
    }


def test_class_tokens_are_trainable_parameters_too() -> None:
    assert "body.cls_token" in trainable(build_network(spec("timm:vit_tiny_patch16_224"), seed=1))


def test_dropout_networks_drop_at_the_rate_asked_for() -> None:
    network = build_network(NetworkSpec("mlp_l1_w5_bn_dropout", *CIFAR10, dropout_rate=0.3), seed=1)
    assert network.dropout1.p == 0.3


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("resnet11", "did you mean 'resnet10'"),
        ("mlp_l3_w5_4", "l3 needs 3 widths"),
        ("mlp_w5", "an MLP is called mlp_l<layers>"),
        ("timm:resnt18", "did you mean timm:resne"),
    ],
)
def test_a_name_that_is_no_network_says_what_there_is(model: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_network(spec(model), seed=1)


def test_images_too_small_for_a_network_are_refused_with_their_size() -> None:
    with pytest.raises(ValueError, match="cannot take images of 1 x 28 x 28"):
        build_network(spec("vgg11", MNIST), seed=1)


def test_two_specs_name_the_first_field_in_which_they_differ() -> None:
    assert spec("vgg11").difference(spec("vgg19")) == "model: vgg11 vs vgg19"
    assert spec("vgg11").difference(spec("vgg11")) is None


class _Operations(TorchDispatchMode):
    """Notes the operations that run within the block."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.name())
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("height", "operation"), [(15, "aten::avg_pool2d"), (14, "aten::_adaptive_avg_pool2d")])
def test_away_from_the_cpu_maps_are_averaged_over_equal_windows_which_has_a_deterministic_gradient(
    height: int, operation: str
) -> None:
    maps = torch.empty(2, 3, height, 15, device="meta")
    with _Operations() as seen:
        AveragePool(5)(maps)
    assert seen.names == [operation]


def test_equal_windows_are_the_same_average_and_on_a_cpu_stored_results_keep_their_bits() -> None:
    maps = torch.randn(2, 3, 15, 15, generator=torch.Generator().manual_seed(0))
    assert torch.equal(AveragePool(5)(maps), torch.nn.AdaptiveAvgPool2d(5)(maps))
    assert torch.allclose(AveragePool(5)(maps), torch.nn.functional.avg_pool2d(maps, 3), atol=1e-6)
    assert list(build_network(spec("vgg_like", (1, 120, 120, 19)), seed=1).state_dict())[-2:] == [
        "linear.weight",
        "linear.bias",
    ]
