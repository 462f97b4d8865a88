"""Dense, locally connected and convolutional layers over patches are one function with the right weights."""

import pytest
import torch
from torch import Tensor, fx, nn

from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.models.parameters import num_parameters, weight_arrays
from lmc_mlflow.models.patches import HIDDEN, PatchGrid, dense_from_local, local_from_conv
from lmc_mlflow.models.registry import BUILDERS, NetworkSpec, build_network
from lmc_mlflow.training.engines.table import choose_engine
from lmc_mlflow.training.noise import NamedNoise
from lmc_mlflow.training.optimizers import make_optimizer
from lmc_mlflow.training.trainee import Trainee

CIFAR10 = (3, 32, 32, 10)
COUNTS = {
    "patches_dense": 25_255_946,
    "patches_local": 483_338,
    "patches_conv": 88_202,
    "patches_attention": 638_602,
}
SMALL = (2, 8, 12, 5)
GRID = PatchGrid(2, 8, 12)
IMAGES = torch.randn(24, 2, 8, 12, generator=torch.Generator().manual_seed(2))


def network(model: str, seed: int = 1) -> nn.Module:
    return build_network(NetworkSpec(model, *SMALL), seed)


@pytest.mark.parametrize("model", COUNTS)
def test_parameters_are_as_many_as_printed(model: str) -> None:
    with torch.device("meta"):  # counted, not made
        assert num_parameters(_unseeded(model)) == COUNTS[model]


def _unseeded(model: str) -> nn.Module:
    return BUILDERS[model](NetworkSpec(model, *CIFAR10), nn.LogSoftmax(dim=1))


def loaded(model: str, state: dict[str, Tensor]) -> nn.Module:
    other = network(model, seed=9).double()
    other.load_state_dict(state)
    return other


def test_a_convolution_is_a_locally_connected_layer_and_a_dense_one() -> None:
    conv = network("patches_conv").double()
    state, images = conv.state_dict(), IMAGES.double()
    local, dense = (
        loaded("patches_local", local_from_conv(state, GRID)),
        dense_from_local(local_from_conv(state, GRID), GRID),
    )
    assert torch.allclose(conv(images), local(images), atol=1e-13)
    assert torch.allclose(conv(images), loaded("patches_dense", dense)(images), atol=1e-13)
    assert [int((dense["hidden.weight"] != 0).sum()), dense["hidden.weight"].numel()] == [768 * 32, 768 * 192]


def test_a_locally_connected_layer_is_a_dense_one_and_in_general_no_convolution() -> None:
    local = network("patches_local").double()
    dense = loaded("patches_dense", dense_from_local(local.state_dict(), GRID))
    assert torch.allclose(local(IMAGES.double()), dense(IMAGES.double()), atol=1e-13)
    assert not torch.allclose(local.hidden.weight[0], local.hidden.weight[1], atol=1e-3)


def test_the_second_patch_lies_to_the_right_of_the_first() -> None:
    assert PatchGrid(1, 8, 8).pixels()[1].tolist() == [4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31]


@pytest.mark.parametrize("model", COUNTS)
def test_it_can_be_traced_and_is_the_function_of_its_graph(model: str) -> None:
    net = network(model).eval()
    assert torch.equal(fx.symbolic_trace(net)(IMAGES), net(IMAGES))


@pytest.mark.parametrize("model", COUNTS)
def test_outputs_are_log_probabilities_and_the_seed_decides_the_weights(model: str) -> None:
    one, again, other = (network(model, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)
    assert torch.allclose(network(model)(IMAGES).exp().sum(1), torch.ones(24), atol=1e-5)


def test_the_bias_of_a_locally_connected_layer_is_no_weight_array() -> None:
    assert weight_arrays(network("patches_local")) == ["hidden.weight", "linear.weight"]


def test_locally_connected_weights_start_as_a_convolution_s_do() -> None:
    local, conv = (network(model).hidden.weight for model in ("patches_local", "patches_conv"))
    bound = 32**-0.5
    assert local.abs().max() <= bound
    assert local.std().item() == pytest.approx(conv.std().item(), rel=0.03)


def test_attention_looks_at_where_a_patch_lies() -> None:
    net = network("patches_attention").eval()
    moved = IMAGES.roll(4, dims=3)  # the same patches, elsewhere
    assert not torch.allclose(net(IMAGES), net(moved), atol=1e-6)
    net.embedding.positions.data.zero_()
    assert torch.allclose(net(IMAGES), net(moved), atol=1e-5)


@pytest.mark.parametrize("model", [*HIDDEN, "patches_attention"])
def test_images_that_cannot_be_divided_are_refused(model: str) -> None:
    with pytest.raises(ValueError, match=f"model '{model}': images of 30 x 32 cannot be divided into patches of 4 x 4"):
        build_network(NetworkSpec(model, 3, 30, 32, 10), seed=1)


@pytest.mark.parametrize("model", COUNTS)
def test_both_engines_train_them_alike(model: str) -> None:
    config = OptimizationConfig(epochs=1, batch_size=12, optimizer="sgd", lr=0.1)
    labels = torch.arange(24) % 5
    trained = []
    for engine in ("exact", "fast"):
        net = network(model)
        noise = NamedNoise(1, "", torch.device("cpu"))
        one = Trainee("A", net, make_optimizer(net.parameters(), config), noise, ResidentImages(IMAGES), labels)
        (scores,) = choose_engine(engine, [one], config).start([one], config, True).train_epoch(1)
        trained.append((scores.loss, net.state_dict()))
    assert trained[0][0] == pytest.approx(trained[1][0], rel=1e-5)
    assert all(torch.allclose(trained[0][1][name], trained[1][1][name], atol=1e-5) for name in trained[0][1])
